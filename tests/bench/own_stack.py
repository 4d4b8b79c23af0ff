"""A separate stack for the benchmark, with free ports and a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx

from deploy.local import machine, processes
from deploy.local.processes import Supervisor
from deploy.local.settings import PORTS, REPOSITORY, Settings, read
from services.kit.services import SERVICES
from tests.fixtures.claims import free_port

SERVERS = (*SERVICES, "nats", "postgres")
UP_SECONDS = 1800  # the first start on a machine creates TimescaleDB's root
DOWN_SECONDS = 120


@contextmanager
def running() -> Iterator[Settings]:
    state = Path(tempfile.mkdtemp(prefix="flotilla-bench-"))
    environment = {
        name: value
        for name, value in os.environ.items()
        if name == "FLOTILLA_CACHE" or not name.startswith(("FLOTILLA_", "DATABASE_URL"))
    }
    environment |= {"FLOTILLA_STATE": str(state)}
    environment |= {name: str(free_port()) for name in PORTS}
    try:
        _stack("up", environment, UP_SECONDS)
        yield Settings(state, read(state / "flotilla.env"), own_database=True)
    finally:
        _stack("down", environment, DOWN_SECONDS)
        shutil.rmtree(state)


@asynccontextmanager
async def logged_in(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    with machine.logged_in(settings) as known:
        headers = {"Authorization": known.headers["Authorization"]}
        base_url = str(known.base_url)
    async with httpx.AsyncClient(
        base_url=base_url, headers=headers, trust_env=False, timeout=120
    ) as client:
        yield client


def supervisor(settings: Settings) -> Supervisor:
    return Supervisor(settings.state / "run", settings.log)


def pids(settings: Settings) -> dict[str, int]:
    """Return process ids by program, from lines such as `name RUNNING pid 123, uptime 0:00:12`."""
    lines = (line.split() for line in processes.status(supervisor(settings)).splitlines())
    return {
        words[0]: int(words[3].rstrip(",")) for words in lines if words[1:3] == ["RUNNING", "pid"]
    }


def _stack(command: str, environment: dict[str, str], seconds: float) -> None:
    subprocess.run(
        [sys.executable, str(REPOSITORY / "deploy/local/stack.py"), command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        timeout=seconds,
        check=True,
    )
