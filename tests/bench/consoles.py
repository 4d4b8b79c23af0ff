"""Open consoles and API requests beside a fleet of simulated agents.

    python tests/bench/consoles.py [--agents 1000] [--consoles 20] [--seconds 60]

Each console reads the fleet's live feed as a browser does. A delay is the time from the measurement
at an agent to the arrival of the sample. Then requests are sent at fixed times, even if earlier
requests are still running, so a slow answer delays no other. Prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone

import httpx
import uvloop

from deploy.local import machine, stack
from tests.bench import content, fleet_process, fleet_stack, latency, own_stack
from tests.bench.fleet_stack import FleetStack
from tests.bench.latency import Delay, Delays

AGENTS = 1_000
CONSOLES = 20
INTERVAL = 5.0  # seconds between samples
CONNECT_SECONDS = 180.0
REQUESTS_PER_SECOND = 50.0
OVERVIEWS_PER_SECOND = 1.0  # part of these requests; a console asks for all servers once a minute
CONNECTIONS = 20  # connections of the API client


@dataclass(frozen=True, slots=True)
class Answers:
    """Times of one kind of request, in milliseconds."""

    requests: int
    failed: int
    p50: float
    p95: float
    most: float


@dataclass(frozen=True, slots=True)
class Figures:
    agents: int
    consoles: int
    seconds: float
    requests_per_second: float
    delays: Delays | None
    """Delays from the measurement to each of the consoles."""
    answers: dict[str, Answers]
    """Answers by kind of request; `all` contains every kind."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, default=AGENTS)
    parser.add_argument("--consoles", type=int, default=CONSOLES)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each half (default 60)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the stack is stopped
    figures = run(options.agents, options.consoles, options.seconds)
    sys.stdout.write(json.dumps(asdict(figures), indent=2) + "\n")
    return 0


def run(agents: int, consoles: int, seconds: float) -> Figures:
    with (
        fleet_stack.running() as made,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(measure(made, agents, consoles, seconds))


async def measure(made: FleetStack, agents: int, consoles: int, seconds: float) -> Figures:
    await fleet_stack.register(made, 0, agents)
    await asyncio.to_thread(stack.add_first_user, made.settings)
    oracle = made.settings.state / "oracle-consoles"
    ramp = max(agents / 100, 1.0)
    delays: list[Delay] = []
    async with AsyncExitStack() as open_parts:
        fleet = await open_parts.enter_async_context(
            fleet_process.running(made, oracle, agents=agents, interval=INTERVAL, ramp=ramp)
        )
        await fleet.until(
            lambda figures: figures.connected >= agents,
            seconds=CONNECT_SECONDS,
            otherwise="not all agents connected",
        )
        with machine.logged_in(made.settings) as client:
            urls = [latency.socket_url(client, "fleet/realtime") for _ in range(consoles)]
        reading = [asyncio.create_task(latency.collect(url, delays)) for url in urls]
        try:
            await asyncio.sleep(2 * INTERVAL)
            delays.clear()
            await asyncio.sleep(seconds)
            seen = latency.summarise(delays)
            answers = await _ask(made, agents, seconds)
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)
    return Figures(agents, consoles, seconds, REQUESTS_PER_SECOND, seen, answers)


async def _ask(made: FleetStack, agents: int, seconds: float) -> dict[str, Answers]:
    """Send the requests of consoles at a fixed rate; time each answer from when it was due."""
    taken: dict[str, list[float]] = {}
    failed: dict[str, int] = {}
    requests: set[asyncio.Task[None]] = set()
    async with own_stack.logged_in(made.settings) as client:
        limits = asyncio.Semaphore(CONNECTIONS)
        loop = asyncio.get_running_loop()

        async def one(kind: str, path: str, due: float) -> None:
            async with limits:
                answer = await client.get(path)
            taken.setdefault(kind, []).append(loop.time() - due)
            if not answer.is_success:
                failed[kind] = failed.get(kind, 0) + 1

        begin = loop.time()
        for number in range(round(seconds * REQUESTS_PER_SECOND)):
            due = begin + number / REQUESTS_PER_SECOND
            await asyncio.sleep(max(due - loop.time(), 0))
            kind, path = _request(random.randrange(agents))
            task = asyncio.create_task(one(kind, path, due))
            requests.add(task)
            task.add_done_callback(requests.discard)
        await asyncio.gather(*requests)
    taken["all"] = [seconds for times in taken.values() for seconds in times]
    failed["all"] = sum(failed.values())
    return {kind: _answers(times, failed.get(kind, 0)) for kind, times in sorted(taken.items())}


def _request(index: int) -> tuple[str, str]:
    """Choose a request of a console: its kind, and its path for the server of this index."""
    vps = f"/vps/{content.vps_id(index)}"
    end = datetime.now(timezone.utc)
    span = httpx.QueryParams(
        start=(end - timedelta(hours=1)).isoformat(), end=end.isoformat(), granularity="auto"
    )
    if random.random() < OVERVIEWS_PER_SECOND / REQUESTS_PER_SECOND:
        return "fleet overview", "/fleet/overview"
    return random.choice(
        [
            ("page of servers", "/vps?limit=50"),
            ("server", vps),
            ("history of an hour", f"{vps}/metrics/historical?{span}"),
            ("traffic", f"{vps}/traffic"),
        ]
    )


def _answers(seconds: Sequence[float], failed: int) -> Answers:
    ordered = sorted(seconds)

    def rank(share: float) -> float:
        return round(1000 * ordered[math.ceil(share * len(ordered)) - 1], 1)

    return Answers(len(ordered), failed, rank(0.5), rank(0.95), rank(1))


if __name__ == "__main__":
    sys.exit(main())
