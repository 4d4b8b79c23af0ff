"""The system under test: the stack, its fleet, the network between them, and figures of NATS."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from nats.js import JetStreamContext, api

from deploy.local import processes
from services.kit.bus.subjects import Durable, Stream
from services.kit.services import SERVICES
from tests.bench import fleet_process
from tests.bench.fleet_process import FleetProcess
from tests.bench.fleet_stack import FleetStack
from tests.chaos.relay import Relay

INTERVAL = 1.0  # seconds between samples
RESTART_SECONDS = 60.0


class FaultError(Exception):
    """The system did not behave as the fault requires; the text is for its line of the report."""


@dataclass(frozen=True, slots=True)
class Away:
    """Seconds for which parts of the system are away, or hostile clients are there."""

    server: float
    network: float
    replay_after: float
    """Time after which an agent sends accepted batches again that are not durable. The suite sets
    it above the deduplication window of the stream; in production it is ten minutes."""
    quiet: float
    """Time before hostile clients come, for comparison."""
    hostile: float
    hostile_share: float
    """Share of the attacks that hostile clients make at most."""


@dataclass(slots=True)
class Scene:
    stack: FleetStack
    fleet: FleetProcess
    relay: Relay
    random: random.Random
    away: Away
    oracles: list[Path] = field(default_factory=list)
    on_tmpfs: bool = False
    """True if NATS keeps its streams on a file system that can be filled."""
    _pids: dict[str, int] = field(default_factory=dict)

    def pid(self, name: str) -> int:
        known = self._pids.get(name, 0)
        if not known or not psutil.pid_exists(known):
            self._pids = self.stack.pids()
        return self._pids[name]

    async def kill(self, name: str) -> None:
        """Kill a process; its supervisor starts another one."""
        pid = await self.running(name)
        os.kill(pid, signal.SIGKILL)
        self._pids.pop(name, None)

    async def running(self, name: str) -> int:
        """Wait until a program runs; return its process."""
        deadline = time.monotonic() + RESTART_SECONDS
        while True:
            try:
                return self.pid(name)
            except KeyError:
                if time.monotonic() > deadline:
                    raise FaultError(f"{name} was not started again") from None
                await asyncio.sleep(0.2)

    async def stop(self, name: str) -> None:
        await asyncio.to_thread(self.stack.stop, name)

    async def start(self, name: str) -> None:
        await asyncio.to_thread(self.stack.start, name)

    def signal_all(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process and its children."""
        root = psutil.Process(self.pid(name))
        for process in [root, *root.children(recursive=True)]:
            process.send_signal(number)

    async def pause(self, least: float, most: float) -> None:
        """Wait for a random time."""
        await asyncio.sleep(self.random.uniform(least, most))

    @asynccontextmanager
    async def jetstream(self, user: str) -> AsyncIterator[JetStreamContext]:
        client = await self.stack.client(user)
        try:
            yield client.jetstream(timeout=10)
        finally:
            await client.close()

    async def stream(self, name: str) -> api.StreamInfo:
        async with self.jetstream("operator") as jetstream:
            return await jetstream.stream_info(name)

    async def writers_place(self) -> api.ConsumerInfo:
        async with self.jetstream("operator") as jetstream:
            info: api.ConsumerInfo = await jetstream.consumer_info(
                Stream.TELEMETRY, Durable.INGEST_WRITE_TELEMETRY
            )
            return info

    def metrics(self, service: str, name: str) -> dict[str, float]:
        """Return the values of a counter by label; empty while the process does not answer."""
        port = self.stack.health_ports[service]
        try:
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        except httpx.TransportError:
            return {}
        pairs = (line.rpartition(" ") for line in text.splitlines())
        return {
            series: float(value) for series, _, value in pairs if series.partition("{")[0] == name
        }

    def metric(self, service: str, name: str) -> float:
        """Return the sum of a metric over its labels."""
        return sum(self.metrics(service, name).values())

    async def until(self, look: Callable[[], bool], *, seconds: float, otherwise: str) -> float:
        """Wait until `look` is true; return the seconds.

        Raises:
            FaultError: it was not in time.
        """
        begin = time.monotonic()
        while not await asyncio.to_thread(look):
            if time.monotonic() - begin > seconds:
                raise FaultError(f"{otherwise} within {seconds:.0f} s")
            await asyncio.sleep(0.2)
        return time.monotonic() - begin

    async def settled(self, seconds: float) -> None:
        """Stop measuring, and wait until no sample is on its way.

        Raises:
            FleetError, FaultError: something still is.
        """
        self.fleet.tell("pause")
        await self.fleet.until(
            lambda figures: figures.in_hand == 0,
            seconds=seconds,
            otherwise="what the agents hold did not become durable",
        )
        deadline = time.monotonic() + seconds
        while True:
            place = await self.writers_place()
            if not place.num_pending and not place.num_ack_pending:
                return
            if time.monotonic() > deadline:
                raise FaultError(
                    f"{place.num_pending} unread and {place.num_ack_pending} unacknowledged remain"
                )
            await asyncio.sleep(0.5)

    @asynccontextmanager
    async def other_fleet(
        self, name: str, *, agents: int, **options: object
    ) -> AsyncIterator[FleetProcess]:
        """Run a second fleet beside the first; the ledger counts its samples too."""
        path = self.stack.settings.state / f"oracle-{name}"
        self.oracles.append(path)
        options = {"interval": INTERVAL, "replay_after": self.away.replay_after, **options}
        async with fleet_process.running(self.stack, path, agents=agents, **options) as fleet:
            yield fleet

    def restart_as(self, commands: dict[str, list[str]]) -> None:
        """Run programs with other commands; an empty mapping restores their own."""
        variant = type(self.stack.variant)(self.stack.variant.sync_always, commands)
        self.stack.configure(variant)
        processes.start(self.stack.supervisor, *SERVICES)


def say(what: str) -> None:
    sys.stderr.write(f"{what}\n")
