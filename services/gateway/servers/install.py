"""The install line, the install script, and the builds and addresses that a new agent needs."""

import re
import shlex
from pathlib import Path

from litestar import Response, get
from litestar.file_system import BaseLocalFileSystem
from litestar.params import FromPath
from litestar.response import File

from services.gateway.api import errors
from services.gateway.api.rules import PUBLIC
from services.gateway.context import Context, UseContext
from services.gateway.servers.schemas import Bootstrap, WantedPowers

SCRIPT = Path(__file__).with_name("install.sh")
ARTEFACT = re.compile(r"flotilla-agent-linux-[a-z0-9_]{1,20}\.tar\.gz(\.sha256)?")


def command(context: Context, token: str, powers: WantedPowers) -> str:
    """Return the line to paste as root. The token is in the environment, never in an argument."""
    url = shlex.quote(context.settings.public_url)
    words = [context.ca_fingerprint, context.signer.public_key.hex(), *_options(powers)]
    return (
        f"curl -fsSL {url}/install.sh"
        f" | FLOTILLA_ENROLMENT_TOKEN={token} sh -s -- {url} {shlex.join(words)}"
    )


def _options(powers: WantedPowers) -> list[str]:
    """Return the options for the permissions that are wanted; all others stay off."""
    options = []
    if powers.shell:
        options.append("--shell")
    if powers.commands:
        options.append("--commands")
    if powers.files != "off":
        options.append(f"--files={powers.files}")
        options += [f"--file-root={root}" for root in powers.file_roots or ["/"]]
    if powers.docker != "off":
        options.append(f"--docker={powers.docker}")
    if powers.run_as == "root":
        options.append("--run-as=root")
    return options


@get(
    "/agent/bootstrap",
    operation_id="agentBootstrap",
    summary="Get the address that agents connect to, and the certificate authority to trust",
    tags=["Agents"],
    opt={PUBLIC: True},
)
async def bootstrap(context: UseContext) -> Bootstrap:
    return Bootstrap(context.settings.agent_address, context.ca_pem)


@get("/install.sh", opt={PUBLIC: True}, include_in_schema=False)
async def script() -> Response[bytes]:
    return Response(SCRIPT.read_bytes(), media_type="text/x-shellscript; charset=utf-8")


@get("/agent/{name:str}", opt={PUBLIC: True}, include_in_schema=False)
async def artefact(name: FromPath[str], context: UseContext) -> File:
    """Return the build of the agent for one architecture, or its SHA-256."""
    folder = context.settings.agent_dir
    if folder is None or not ARTEFACT.fullmatch(name) or not (folder / name).is_file():
        raise errors.not_found()
    return File(folder / name, filename=name, file_system=BaseLocalFileSystem())
