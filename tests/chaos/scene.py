"""What a fault acts on: the stack, its fleet, the network between, and the bus's own figures."""

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
from deploy.local.stack import SERVICES
from services.kit.subjects import Durable, Stream
from tests.bench import fleet_process
from tests.bench.fleet_process import FleetProcess
from tests.bench.fleet_stack import FleetStack
from tests.chaos.relay import Relay

INTERVAL = 1.0  # seconds between samples
RESTART_SECONDS = 60.0


class FaultError(Exception):
    """The system did not do what this fault calls for, in words for its line."""


@dataclass(frozen=True, slots=True)
class Away:
    """Seconds that things are away."""

    server: float
    network: float
    replay_after: float
    """Until an agent sends again what was accepted and is not durable: over the stream's window
    as the suite sets it, and ten minutes in the product."""


@dataclass(slots=True)
class Scene:
    stack: FleetStack
    fleet: FleetProcess
    relay: Relay
    random: random.Random
    away: Away
    oracles: list[Path] = field(default_factory=list)
    on_tmpfs: bool = False
    """Whether NATS keeps its streams on a file system that can be made full."""
    _pids: dict[str, int] = field(default_factory=dict)

    def pid(self, name: str) -> int:
        known = self._pids.get(name, 0)
        if not known or not psutil.pid_exists(known):
            self._pids = self.stack.pids()
        return self._pids[name]

    async def kill(self, name: str) -> None:
        """As if the power of this one process went; its supervisor starts another."""
        pid = await self.running(name)
        os.kill(pid, signal.SIGKILL)
        self._pids.pop(name, None)

    async def running(self, name: str) -> int:
        """The process, once it runs: a killed one takes a while to come back."""
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
        """To the process and all below it."""
        root = psutil.Process(self.pid(name))
        for process in [root, *root.children(recursive=True)]:
            process.send_signal(number)

    async def pause(self, least: float, most: float) -> None:
        """Some time, so that what comes next comes at any moment."""
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
        """A counter since that process began, by its labels; empty while it does not answer."""
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
        """The sum over a metric's labels."""
        return sum(self.metrics(service, name).values())

    async def until(self, look: Callable[[], bool], *, seconds: float, otherwise: str) -> float:
        """Seconds until `look` is true.

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
        """Measure nothing more, and wait until nothing is on its way.

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
        """A second fleet beside the first; its samples count in the ledger as well."""
        path = self.stack.settings.state / f"oracle-{name}"
        self.oracles.append(path)
        options = {"interval": INTERVAL, "replay_after": self.away.replay_after, **options}
        async with fleet_process.running(self.stack, path, agents=agents, **options) as fleet:
            yield fleet

    def restart_as(self, commands: dict[str, list[str]]) -> None:
        """Run programs by other commands, or (empty) by their own again."""
        variant = type(self.stack.variant)(self.stack.variant.sync_always, commands)
        self.stack.configure(variant)
        processes.start(self.stack.supervisor, *SERVICES)


def say(what: str) -> None:
    sys.stderr.write(f"{what}\n")
