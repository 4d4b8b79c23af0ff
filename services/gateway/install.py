"""What a new agent needs before it has an identity."""

import re
import shlex
from pathlib import Path

from litestar import Response, get
from litestar.file_system import BaseLocalFileSystem
from litestar.params import FromPath
from litestar.response import File

from services.gateway import errors
from services.gateway.guard import PUBLIC
from services.gateway.runtime import Runtime, UseRuntime
from services.gateway.schemas import Bootstrap, WantedPowers

SCRIPT = Path(__file__).with_name("install.sh")
ARTEFACT = re.compile(r"flotilla-agent-linux-[a-z0-9_]{1,20}\.tar\.gz(\.sha256)?")


def command(runtime: Runtime, token: str, powers: WantedPowers) -> str:
    """The line to paste as root. The token travels in the environment, never in argv."""
    url = shlex.quote(runtime.settings.public_url)
    words = [runtime.ca_fingerprint, runtime.signer.public_key.hex(), *_options(powers)]
    return (
        f"curl -fsSL {url}/install.sh"
        f" | FLOTILLA_ENROLMENT_TOKEN={token} sh -s -- {url} {shlex.join(words)}"
    )


def _options(powers: WantedPowers) -> list[str]:
    """All powers are off but those that the line names."""
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
    summary="Where agents connect, and the authority to pin",
    tags=["Agents"],
    opt={PUBLIC: True},
)
async def bootstrap(runtime: UseRuntime) -> Bootstrap:
    return Bootstrap(runtime.settings.agent_address, runtime.ca_pem)


@get("/install.sh", opt={PUBLIC: True}, include_in_schema=False)
async def script() -> Response[bytes]:
    return Response(SCRIPT.read_bytes(), media_type="text/x-shellscript; charset=utf-8")


@get("/agent/{name:str}", opt={PUBLIC: True}, include_in_schema=False)
async def artefact(name: FromPath[str], runtime: UseRuntime) -> File:
    """The agent's build for one kind of machine, or its SHA-256."""
    folder = runtime.settings.agent_dir
    if folder is None or not ARTEFACT.fullmatch(name) or not (folder / name).is_file():
        raise errors.not_found()
    return File(folder / name, filename=name, file_system=BaseLocalFileSystem())
