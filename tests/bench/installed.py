"""The agent as the install line installs it, on a host with a Docker engine."""

from __future__ import annotations

import asyncio
import platform
import secrets
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local import machine
from deploy.local.settings import REPOSITORY, Settings
from tests.bench import own_stack
from tests.fixtures import programs
from tests.fixtures.docker_engine import IMAGE, engine
from tests.fixtures.programs import Program
from tests.fixtures.terminals import screen

CONTAINERS = 3
NAME = f"flotilla-agent, built, Docker on, {CONTAINERS} containers"
AFTER_USE = "the same after terminals, files and commands"
KEYS = 200
MEGABYTES = 20
ARCHIVE = REPOSITORY / f"build/agent/flotilla-agent-linux-{platform.machine()}.tar.gz"


@dataclass(frozen=True, slots=True)
class Installed:
    program: Program
    vps_id: str
    root: Path
    """Folder whose files the console may use."""


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Installed]:
    folder = settings.state / "installed"
    folder.mkdir()
    unpack = ["tar", "-xzf", str(ARCHIVE), "-C", str(folder)]
    await asyncio.to_thread(subprocess.run, unpack, check=True)
    # A socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="docker-") as home, engine(Path(home)) as docker:
        for _ in range(CONTAINERS):
            docker.docker("run", "--detach", IMAGE, "/bin/sh", "-c", "while :; do sleep 1; done")
        async with own_stack.logged_in(settings) as client:
            root = folder / "files"
            root.mkdir()
            vps_id, agent = await programs.enrolled_agent(
                *(client, folder / "host"),
                policy=f'shell = true\ncommands = true\nfiles = "write"\nfile_roots = ["{root}"]\n',
                authority=Path(settings.values["FLOTILLA_CA_CERTIFICATE"]),
                command_key=settings.values["FLOTILLA_COMMAND_KEY"],
                config=f'docker = true\ndocker_socket = "{docker.socket}"\n',
                binary=folder / "flotilla-agent/flotilla-agent",
            )
        try:
            yield Installed(agent, vps_id, root)
        finally:
            agent.kill()


async def use(settings: Settings, installed: Installed) -> None:
    """Type in a terminal, run a script, send a file there and back, and list a folder."""
    ws = machine.gateway_url(settings).replace("http", "ws", 1) + "/api/v1"
    async with own_stack.logged_in(settings) as client:
        async with screen(ws, client, installed.vps_id) as terminal:
            await terminal.frame(type="ready")
            await terminal.type(b"yes 0123456789 | head -c 5000000; printf 'do''ne'\r")
            await terminal.shows(b"done")
            for _ in range(KEYS):
                await terminal.type(b"x")
                await asyncio.sleep(0.02)
            await terminal.say(type="close")
        run = {"server_ids": [installed.vps_id], "script": "seq 100000"}
        (await client.post("/runs", json=run)).raise_for_status()
        files = f"/vps/{installed.vps_id}/files"
        params = {"path": str(installed.root / "large")}
        content = {"data": secrets.token_bytes(MEGABYTES * 1_000_000)}
        (await client.post(f"{files}/upload", params=params, files=content)).raise_for_status()
        (await client.get(f"{files}/download", params=params)).raise_for_status()
        listed = await client.get(files, params={"path": str(installed.root)})
        listed.raise_for_status()
