"""Delay from a key to its echo, through a separate complete stack on this machine.

    python tests/bench/terminal.py [--keys 500]

The path is WebSocket client → gateway → shellproxy → edge → agent → `cat` on a PTY, and back. For
comparison, the round trip of a WebSocket ping to the same gateway is measured. Then everything is
measured again while `yes` runs in another terminal. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.local import machine
from deploy.local.settings import Settings
from tests.bench import own_stack
from tests.bench.processes import read
from tests.fixtures import programs
from tests.fixtures.programs import Program
from tests.fixtures.terminals import Screen, screen

PAUSE = 0.02  # seconds between keys; a fast typist needs 0.08
WARM_UP = 50  # keys
FLOOD_SETTLES = 3.0  # seconds until the buffers are full
MIB = 1024 * 1024
PATH = ("gateway", "shellproxy", "edge", "nats")


@dataclass(frozen=True, slots=True)
class Spread:
    """Delays in milliseconds."""

    p50: float
    p95: float
    p99: float
    most: float


@dataclass(frozen=True, slots=True)
class Flood:
    """Figures while `yes` runs in another terminal of the same server."""

    mib_per_second: float
    echo: Spread
    interrupted_ms: float
    """Delay from Ctrl-C to its echo."""
    memory_growth: dict[str, int]
    """Growth of resident memory during the flood, in bytes by program."""


@dataclass(frozen=True, slots=True)
class Figures:
    keys: int
    bare: Spread
    echo: Spread
    above_bare: Spread
    flood: Flood


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", type=int, default=500, help="how many (default 500)")
    keys: int = parser.parse_args().keys
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the stack is stopped
    with own_stack.running() as settings:
        figures = asyncio.run(measure(settings, keys))
    sys.stdout.write(json.dumps(asdict(figures), indent=2) + "\n")
    return 0


async def measure(settings: Settings, keys: int) -> Figures:
    async with own_stack.logged_in(settings) as client:
        vps_id, agent = await programs.enrolled_agent(
            *(client, settings.state / "shell-agent"),
            policy="shell = true\n",
            authority=Path(settings.values["FLOTILLA_CA_CERTIFICATE"]),
            command_key=settings.values["FLOTILLA_COMMAND_KEY"],
        )
        ws = machine.gateway_url(settings).replace("http", "ws", 1) + "/api/v1"
        try:
            async with screen(ws, client, vps_id) as typing, screen(ws, client, vps_id) as other:
                await _cat(typing)
                await _echoes(typing, WARM_UP)
                bare = await _pings(typing, keys)
                echo = await _echoes(typing, keys)
                flood = await _flood(settings, agent, typing, other, keys)
                for terminal in (typing, other):
                    await terminal.say(type="close")
        finally:
            agent.kill()
    network = _spread(bare)
    above = _spread([seconds - network.p50 / 1000 for seconds in echo])
    return Figures(keys, network, _spread(echo), above, flood)


async def _cat(terminal: Screen) -> None:
    """Start a program that echoes its input."""
    await terminal.frame(type="ready")
    await terminal.type(b"stty raw -echo; printf 'rea''dy'; exec cat\r")
    await terminal.shows(b"ready")


async def _echoes(terminal: Screen, keys: int) -> list[float]:
    """Seconds."""
    taken = []
    for _ in range(keys):
        await asyncio.sleep(PAUSE)
        terminal.shown.clear()
        began = time.perf_counter()
        await terminal.type(b"x")
        await terminal.grows(0)
        taken.append(time.perf_counter() - began)
    return taken


async def _pings(terminal: Screen, count: int) -> list[float]:
    """Seconds."""
    taken = []
    for _ in range(count):
        await asyncio.sleep(PAUSE)
        began = time.perf_counter()
        await (await terminal.socket.ping())
        taken.append(time.perf_counter() - began)
    return taken


async def _flood(
    settings: Settings, agent: Program, typing: Screen, other: Screen, keys: int
) -> Flood:
    pids = own_stack.pids(settings)
    roots = {"agent": agent.process.pid} | {name: pids[name] for name in PATH}
    await other.type(b"yes 0123456789012345678901234567890123456789\r")
    forgetting = asyncio.create_task(_forget(other))
    await asyncio.sleep(FLOOD_SETTLES)
    full = {name: read(pid).rss_bytes for name, pid in roots.items()}
    received, began = other.received, time.perf_counter()
    echo = await _echoes(typing, keys)
    rate = (other.received - received) / (time.perf_counter() - began)
    growth = {name: read(pid).rss_bytes - full[name] for name, pid in roots.items()}
    forgetting.cancel()
    other.shown.clear()
    began = time.perf_counter()
    await other.type(b"\x03")
    await other.shows(b"^C")
    interrupted = time.perf_counter() - began
    return Flood(round(rate / MIB, 1), _spread(echo), round(1000 * interrupted, 1), growth)


async def _forget(terminal: Screen) -> None:
    while True:
        await asyncio.sleep(0.2)
        terminal.shown.clear()


def _spread(seconds: Sequence[float]) -> Spread:
    ordered = sorted(seconds)

    def rank(share: float) -> float:
        return round(1000 * ordered[math.ceil(share * len(ordered)) - 1], 2)

    return Spread(rank(0.5), rank(0.95), rank(0.99), rank(1))


if __name__ == "__main__":
    sys.exit(main())
