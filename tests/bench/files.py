"""Upload and download of a large file, through a separate complete stack on this machine.

    python tests/bench/files.py [--megabytes 200]

The path is client → gateway → NATS → edge → agent → disk, and back. Both ends check the SHA-256.
The processor time of the programs does not depend on other load of the machine. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from deploy.local.settings import Settings
from tests.bench import own_stack
from tests.fixtures import programs

MEGABYTE = 1_000_000
LOOK = 0.05  # seconds between readings of a program's memory
PATH = ("gateway", "nats", "edge", "agent")


@dataclass(frozen=True, slots=True)
class Way:
    """Figures of one direction."""

    seconds: float
    megabytes_per_second: float
    processor_seconds: dict[str, float]
    resident_before: dict[str, int]
    """Bytes by program."""
    resident_most: dict[str, int]


@dataclass(frozen=True, slots=True)
class Figures:
    megabytes: int
    up: Way
    down: Way


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=200, help="how large (default 200)")
    megabytes: int = parser.parse_args().megabytes
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the stack is stopped
    with own_stack.running() as settings:
        figures = asyncio.run(measure(settings, megabytes))
    sys.stdout.write(json.dumps(asdict(figures), indent=2) + "\n")
    return 0


async def measure(settings: Settings, megabytes: int) -> Figures:
    root = settings.state / "files"
    root.mkdir()
    source = settings.state / "source"
    digest = _make(source, megabytes)
    async with own_stack.logged_in(settings) as client:
        vps_id, agent = await programs.enrolled_agent(
            *(client, settings.state / "files-agent"),
            policy=f'files = "write"\nfile_roots = ["{root}"]\n',
            authority=Path(settings.values["FLOTILLA_CA_CERTIFICATE"]),
            command_key=settings.values["FLOTILLA_COMMAND_KEY"],
        )
        url, params = f"/vps/{vps_id}/files", {"path": str(root / "large")}
        watched = {**own_stack.pids(settings), "agent": agent.process.pid}
        processes = {name: psutil.Process(watched[name]) for name in PATH}

        async def up() -> None:
            wanted: dict[str, Any] = {**params, "size": source.stat().st_size, "sha256": digest}
            with source.open("rb") as content:
                answer = await client.post(f"{url}/upload", params=wanted, files={"data": content})
            assert answer.json()["complete"] is True, answer.text

        async def down() -> None:
            found = hashlib.sha256()
            async with client.stream("GET", f"{url}/download", params=params) as answer:
                async for block in answer.aiter_raw():
                    found.update(block)
            assert found.hexdigest() == digest

        try:
            return Figures(
                megabytes,
                await _timed(up, processes, megabytes),
                await _timed(down, processes, megabytes),
            )
        finally:
            agent.kill()


async def _timed(
    work: Callable[[], Awaitable[None]], processes: dict[str, psutil.Process], megabytes: int
) -> Way:
    before = {name: process.memory_info().rss for name, process in processes.items()}
    spent = {name: _processor(process) for name, process in processes.items()}
    most = dict(before)
    began = time.perf_counter()
    working = asyncio.ensure_future(work())
    while not working.done():
        await asyncio.wait({working}, timeout=LOOK)
        for name, process in processes.items():
            most[name] = max(most[name], process.memory_info().rss)
    working.result()
    seconds = time.perf_counter() - began
    return Way(
        round(seconds, 2),
        round(megabytes / seconds, 1),
        {name: round(_processor(p) - spent[name], 2) for name, p in processes.items()},
        before,
        most,
    )


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _make(path: Path, megabytes: int) -> str:
    """Write a file without repetitions; return its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(megabytes):
            block = secrets.token_bytes(MEGABYTE)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
