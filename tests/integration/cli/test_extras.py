"""Each service runs with the packages of its own extra, in an environment that has no others."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deploy.local.settings import REPOSITORY
from services.kit.services import SERVICES
from tests.fixtures.claims import free_port
from tests.fixtures.programs import Program
from tests.fixtures.waiting import until
from tests.fixtures.world import World

CONSTRAINTS = REPOSITORY / "requirements/dev.txt"
UV = Path(sys.executable).with_name("uv")
# For each extra, a service that lacks packages if only this extra is installed.
WITHOUT = {
    "edge": "gateway",
    "writer": "edge",
    "rollup": "edge",
    "gateway": "edge",
    "shellproxy": "gateway",
    "alerting": "gateway",
}


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels of the services and of the contract, by name."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in (REPOSITORY, REPOSITORY / "proto"):
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
            cwd=project,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}


def install(extra: str, wheels: dict[str, Path], folder: Path) -> Path:
    """Install one extra with the locked versions; return the folder of the programs."""
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    wanted = [f"flotilla[{extra}] @ {wheels['flotilla'].as_uri()}", str(wheels["flotilla_proto"])]
    options = ["--quiet", "--python", str(folder), "--constraints", str(CONSTRAINTS)]
    subprocess.run([UV, "pip", "install", *options, *wanted], check=True)
    return folder / "bin"


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_runs_with_the_packages_of_its_extra(
    name: str, own_world: World, wheels: dict[str, Path], tmp_path: Path
) -> None:
    binaries = await asyncio.to_thread(install, name, wheels, tmp_path / "venv")
    port = free_port()
    environment = {
        **own_world.environment(),
        "FLOTILLA_STATE": str(tmp_path),
        "FLOTILLA_HEALTH_PORT": str(port),
        "FLOTILLA_HTTP_PORT": str(free_port()),
        "FLOTILLA_GRPC_PORT": str(free_port()),
    }
    log = tmp_path / "log"
    program = Program([str(binaries / "flotilla"), "run", name], log, environment)
    async with httpx.AsyncClient(trust_env=False) as client:

        async def ready() -> bool:
            assert program.process.poll() is None, log.read_text()
            try:
                return (await client.get(f"http://127.0.0.1:{port}/readyz")).is_success
            except httpx.TransportError:
                return False

        await until(ready, seconds=30, otherwise=f"{name} is not ready")
    await program.stop()
    assert program.process.returncode == 0, log.read_text()

    other = WITHOUT[name]
    refused = subprocess.run(  # noqa: ASYNC221  ends at once
        [binaries / "flotilla", "run", other],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert refused.stderr == (
        f'flotilla: Service "{other}" needs the packages of the extra "{other}":'
        f' pip install "flotilla[{other}]".\n'
    )
