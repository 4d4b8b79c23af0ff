"""What a new agent needs before it has an identity."""

import shlex

from litestar import get

from services.gateway.guard import PUBLIC
from services.gateway.runtime import Runtime
from services.gateway.schemas import Bootstrap


def command(runtime: Runtime, token: str) -> str:
    """The line to paste. The token travels in the environment, never in argv."""
    url = shlex.quote(runtime.settings.public_url)
    return (
        f"curl -fsSL {url}/install.sh"
        f" | sudo env FLOTILLA_ENROLMENT_TOKEN={token} sh -s -- {url} {runtime.ca_fingerprint}"
    )


@get(
    "/agent/bootstrap",
    operation_id="agentBootstrap",
    summary="Where agents connect, and the authority to pin",
    tags=["Agents"],
    opt={PUBLIC: True},
)
async def bootstrap(runtime: Runtime) -> Bootstrap:
    return Bootstrap(runtime.settings.agent_address, runtime.ca_pem)
