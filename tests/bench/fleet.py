"""Thousands of simulated agents in one process, against a real edge.

    python tests/bench/fleet.py --state FOLDER --agents 1000 --interval 5 --oracle FILE

Reads commands from standard input, one per line: `mark MS` (count agents that have a durable sample
from this time or later), `pause` and `resume` (measuring; waiting samples are still sent), `drop`
(close all connections at once) and `stop`. Prints its figures as a JSON line every second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from deploy.local.settings import read
from tests.bench import content, grpc_stream
from tests.bench.oracle import Oracle
from tests.bench.simulated import HEARTBEAT_SECONDS, Agent, Phase, Tally

TICK = 0.01  # seconds
LOOK_SECONDS = 2.0
CONNECTING_LIMIT = 100  # TLS handshakes at the same time
SPARE_FILES = 100


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Delays of one second, in seconds."""

    p50: float
    p99: float
    most: float


@dataclass(frozen=True, slots=True)
class Figures:
    at: float
    """Monotonic."""
    agents: int
    connected: int
    collected: int
    accepted: int
    durable: int
    refused: int
    dropped: int
    retries: int
    replays: int
    in_hand: int
    unaccepted: int
    mark_ms: int
    fresh: int
    statuses: dict[str, int]
    accepted_after: Percentiles | None
    durable_after: Percentiles | None
    cpu_seconds: float
    late_seconds: float
    """The longest delay of this process behind its schedule, in seconds."""


class Wheel:
    """Calls a function for each agent once per turn, each at its own moment."""

    def __init__(
        self, seconds: float, agents: list[Agent], call: Callable[[Agent, float], None]
    ) -> None:
        self._slots: list[list[Agent]] = [[] for _ in range(max(round(seconds / TICK), 1))]
        self._call = call
        for agent in agents:
            random.choice(self._slots).append(agent)

    def turn(self, tick: int, now: float) -> None:
        for agent in self._slots[tick % len(self._slots)]:
            self._call(agent, now)


class SimulatedFleet:
    def __init__(self, options: argparse.Namespace) -> None:
        values = read(options.state / "flotilla.env")
        self.oracle = Oracle(options.oracle)
        self.writer = content.Writer()
        self.tally = Tally()
        self.mark_ms = 0
        self.clock_ms = round(options.clock * 1000)
        self.replay_after = options.replay_after
        self._host = "127.0.0.1"
        self._port = options.port or int(values["FLOTILLA_GRPC_PORT"])
        self._opening = grpc_stream.opening(f"{self._host}:{self._port}")
        self._tls = grpc_stream.tls(Path(values["FLOTILLA_CA_CERTIFICATE"]))
        self._connecting = asyncio.Semaphore(CONNECTING_LIMIT)
        self._attempts: set[asyncio.Task[None]] = set()
        self._paused = False
        self._late = 0.0
        self._ramp = options.ramp
        secret = options.secret.read_text().strip()
        self.agents = [
            Agent(self, index, content.key(secret, index))
            for index in range(options.first, options.first + options.agents)
        ]
        self._interval = options.interval

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for agent in self.agents:
            loop.call_later(random.uniform(0, self._ramp), self.connect, agent)
        commands = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        tasks = [asyncio.create_task(work) for work in (self._turn(), self._report())]
        try:
            await self._obey(commands)
        finally:
            for task in [*tasks, *self._attempts]:
                task.cancel()
            await asyncio.gather(*tasks, *self._attempts, return_exceptions=True)
            for agent in self.agents:
                if agent.stream is not None:
                    agent.stream.abort()
            self._print()
            self.oracle.close()

    def connect(self, agent: Agent) -> None:
        task = asyncio.ensure_future(self._connect(agent))
        self._attempts.add(task)
        task.add_done_callback(self._attempts.discard)

    async def _connect(self, agent: Agent) -> None:
        async with self._connecting:
            agent.phase = Phase.CONNECTING
            agent.opened_at = time.monotonic()
            stream = grpc_stream.GrpcStream(self._opening, agent)
            agent.stream = stream
            try:
                async with asyncio.timeout(10):
                    await grpc_stream.connect(self._host, self._port, self._tls, lambda: stream)
            except (OSError, TimeoutError) as error:
                agent.lose(type(error).__name__, time.monotonic())

    async def _turn(self) -> None:
        wheels = [
            Wheel(LOOK_SECONDS, self.agents, Agent.look),
            Wheel(HEARTBEAT_SECONDS, self.agents, Agent.beat),
        ]
        collecting = Wheel(self._interval, self.agents, Agent.collect)
        begin = time.monotonic()
        tick = 0
        while True:
            now = time.monotonic()
            due = int((now - begin) / TICK)
            self._late = max(self._late, now - begin - tick * TICK)
            while tick < due:
                tick += 1
                if not self._paused:
                    collecting.turn(tick, now)
                for wheel in wheels:
                    wheel.turn(tick, now)
            await asyncio.sleep(TICK)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.oracle.flush()
            self._print()

    def _print(self) -> None:
        tally = self.tally
        used = resource.getrusage(resource.RUSAGE_SELF)
        figures = Figures(
            at=time.monotonic(),
            agents=len(self.agents),
            connected=sum(agent.phase is Phase.OPEN for agent in self.agents),
            collected=tally.collected,
            accepted=tally.accepted,
            durable=tally.durable,
            refused=tally.refused,
            dropped=tally.dropped,
            retries=tally.retries,
            replays=tally.replays,
            in_hand=sum(agent.samples for agent in self.agents),
            unaccepted=sum(agent.ready + agent.in_flight for agent in self.agents),
            mark_ms=self.mark_ms,
            fresh=tally.fresh,
            statuses=dict(tally.statuses),
            accepted_after=_percentiles(tally.accepted_after),
            durable_after=_percentiles(tally.durable_after),
            cpu_seconds=used.ru_utime + used.ru_stime,
            late_seconds=self._late,
        )
        tally.accepted_after.clear()
        tally.durable_after.clear()
        self._late = 0.0
        sys.stdout.write(json.dumps(asdict(figures)) + "\n")
        sys.stdout.flush()

    async def _obey(self, commands: asyncio.StreamReader) -> None:
        while line := (await commands.readline()).decode().split():
            match line:
                case ["mark", time_ms]:
                    self.mark_ms = int(time_ms)
                    self.tally.fresh = 0
                case ["pause"]:
                    self._paused = True
                case ["resume"]:
                    self._paused = False
                case ["drop"]:
                    for agent in self.agents:
                        agent.lose("DROPPED", time.monotonic())
                case ["stop"]:
                    return
                case _:
                    raise SystemExit(f"unknown command: {' '.join(line)}")


def _percentiles(seconds: list[float]) -> Percentiles | None:
    if not seconds:
        return None
    seconds.sort()
    last = len(seconds) - 1
    return Percentiles(seconds[last // 2], seconds[last * 99 // 100], seconds[last])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--state", type=Path, required=True, help="the stack's folder")
    parser.add_argument("--secret", type=Path, required=True, help="what the keys are made from")
    parser.add_argument("--oracle", type=Path, required=True)
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first agent")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between samples")
    parser.add_argument("--ramp", type=float, default=1.0, help="seconds all take to connect")
    parser.add_argument("--clock", type=float, default=0.0, help="seconds their clock is ahead")
    parser.add_argument(
        "--replay-after",
        type=float,
        default=150.0,
        help="seconds after which accepted batches are sent again; over the stream's window",
    )
    parser.add_argument("--port", type=int, help="of the edge, when another than the stack's")
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.agents > most - SPARE_FILES:
        parser.error(f"a process may open {most} files here: run several fleets")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(SimulatedFleet(options).run())


if __name__ == "__main__":
    main()
