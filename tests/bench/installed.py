"""The agent as the install line brings it, on a host with a Docker engine."""

from __future__ import annotations

import asyncio
import platform
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.settings import REPOSITORY, Settings
from tests.bench import own_stack
from tests.fixtures import programs
from tests.fixtures.engine import IMAGE, engine
from tests.fixtures.programs import Program

CONTAINERS = 3
NAME = f"flotilla-agent, built, Docker on, {CONTAINERS} containers"
ARCHIVE = REPOSITORY / f"build/agent/flotilla-agent-linux-{platform.machine()}.tar.gz"


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Program]:
    folder = settings.state / "installed"
    folder.mkdir()
    unpack = ["tar", "-xzf", str(ARCHIVE), "-C", str(folder)]
    await asyncio.to_thread(subprocess.run, unpack, check=True)
    # A socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="docker-") as home, engine(Path(home)) as docker:
        for _ in range(CONTAINERS):
            docker.docker("run", "--detach", IMAGE, "/bin/sh", "-c", "while :; do sleep 1; done")
        async with own_stack.logged_in(settings) as client:
            _, agent = await programs.enrolled_agent(
                *(client, folder / "host"),
                policy="",
                authority=Path(settings.values["FLOTILLA_CA_CERTIFICATE"]),
                command_key=settings.values["FLOTILLA_COMMAND_KEY"],
                config=f'docker = true\ndocker_socket = "{docker.socket}"\n',
                binary=folder / "flotilla-agent/flotilla-agent",
            )
        try:
            yield agent
        finally:
            agent.kill()
