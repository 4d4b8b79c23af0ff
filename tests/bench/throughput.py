"""Throughput from agents to the database, by number of agents.

    python tests/bench/throughput.py [--agents 100 1000 …] [--seconds 60]

Each row is one simulated fleet. All fleets use the same running stack, whose NATS syncs every message
to disk. The load generator and the services share the machine. `make bench` records such figures;
this program is for closer examination.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nats.js import JetStreamContext

from services.kit.bus.subjects import Durable, Stream
from tests.bench import fleet_process, fleet_stack, plot
from tests.bench.fleet import Figures
from tests.bench.fleet_process import FleetError, FleetProcess
from tests.bench.fleet_stack import SERVERS, FleetStack, Variant
from tests.bench.ledger import Ledger, verify
from tests.bench.processes import Reading, busy_seconds, read

AGENTS = (100, 1_000, 5_000, 10_000)
RAMP_RATE = 100  # new agents per second
CONNECT_SECONDS = 180.0
SETTLE_SECONDS = 60.0
IN_HAND = 5  # undelivered samples of an agent that keeps up; an acknowledgement covers several
LOOK_EVERY = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Look:
    """One moment of a run."""

    seconds: float
    unread: int
    """Messages in the JetStream stream that the writer has not fetched."""
    in_hand: int
    """Samples that no agent knows to be durable."""
    durable_after: float | None
    """Delay from the measurement until the sample is known to be durable; median of a second."""


@dataclass(frozen=True, slots=True)
class Cost:
    cpu_seconds_per_1000: float
    """CPU seconds for 1,000 durable snapshots."""
    cpu_percent: float
    """Share of one core."""
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Row:
    agents: int
    interval_seconds: float
    seconds: float
    offered_per_second: float
    durable_per_second: float
    connected: int
    accepted_p50_ms: float
    accepted_p99_ms: float
    """Percentile of the median second."""
    durable_p50_ms: float
    durable_p99_ms: float
    lag_grows_by_second: float
    """Growth of the undelivered samples per second; about 0 if the system keeps up."""
    retries: int
    lost_streams: int
    missing: int
    duplicated: int
    wrong: int
    cores_busy: float
    costs: dict[str, Cost]
    looks: list[Look]
    problem: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agents", type=int, nargs="+", default=list(AGENTS))
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between samples")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each row (default 60)")
    parser.add_argument(
        "--sync-every-second", action="store_true", help="as deploy/nats.conf has it"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the stack is stopped
    rows = run(
        options.agents,
        interval=options.interval,
        seconds=options.seconds,
        sync_always=not options.sync_every_second,
    )
    sys.stdout.write(table(rows))
    return 0 if rows and not any(row.missing or row.duplicated for row in rows) else 1


def run(
    agents: Sequence[int], *, interval: float, seconds: float, sync_always: bool = True
) -> list[Row]:
    """Return a row per fleet, on a separate stack. Stop after the first that cannot keep up."""
    with fleet_stack.running(Variant(sync_always=sync_always)) as stack:
        return asyncio.run(measure(stack, agents, interval, seconds))


async def measure(
    stack: FleetStack, fleets: Sequence[int], interval: float, seconds: float
) -> list[Row]:
    rows = []
    await fleet_stack.register(stack, 0, max(fleets))
    for agents in fleets:
        row = await _row(stack, agents, interval, seconds)
        say(table([row]))
        rows.append(row)
        if row.problem:
            break
    return rows


async def _row(stack: FleetStack, agents: int, interval: float, seconds: float) -> Row:
    oracle = stack.settings.state / f"oracle-{agents}"
    ramp = max(agents / RAMP_RATE, 1.0)
    begin_ms = time.time_ns() // 1_000_000
    async with fleet_process.running(
        stack, oracle, agents=agents, interval=interval, ramp=ramp
    ) as fleet:
        problem = ""
        try:
            await fleet.until(
                lambda figures: figures.connected >= agents,
                seconds=CONNECT_SECONDS,
                otherwise="not all agents connected",
            )
            # Samples that accumulated while the agents connected are not part of the measurement.
            await fleet.until(
                lambda figures: figures.in_hand <= max(IN_HAND * agents, 100),
                seconds=SETTLE_SECONDS,
                otherwise="the backlog of connecting did not drain",
            )
            await asyncio.sleep(2 * interval)
        except FleetError as error:
            problem = str(error)
        row = await _observe(stack, fleet, interval, seconds)
        drained = await _drain(fleet)
        if drained:
            await asyncio.sleep(1)
    ledger = (
        await asyncio.to_thread(
            verify,
            stack.settings.values["DATABASE_URL"],
            [oracle],
            [0, begin_ms],
            accepted_counts=drained,
        )
    )[-1]
    return row(ledger, problem)


async def _drain(fleet: FleetProcess) -> bool:
    fleet.tell("pause")
    try:
        await fleet.until(
            lambda figures: figures.in_hand == 0, seconds=SETTLE_SECONDS, otherwise="it lags"
        )
    except FleetError:
        return False
    return True


class _Observed:
    """Raw figures of a run. Calling it with the final figures returns the row."""

    def __init__(self, agents: int, interval: float) -> None:
        self.agents = agents
        self.interval = interval
        self.figures: list[Figures] = []
        self.looks: list[Look] = []
        self.first: dict[str, Reading] = {}
        self.last: dict[str, Reading] = {}
        self.busy = 0.0

    def __call__(self, ledger: Ledger, problem: str) -> Row:
        first, last = self.figures[0], self.figures[-1]
        seconds = last.at - first.at
        durable = last.durable - first.durable
        return Row(
            agents=self.agents,
            interval_seconds=self.interval,
            seconds=round(seconds, 1),
            offered_per_second=round((last.collected - first.collected) / seconds, 1),
            durable_per_second=round(durable / seconds, 1),
            connected=last.connected,
            accepted_p50_ms=_median(
                [f.accepted_after.p50 for f in self.figures if f.accepted_after]
            ),
            accepted_p99_ms=_median(
                [f.accepted_after.p99 for f in self.figures if f.accepted_after]
            ),
            durable_p50_ms=_median([f.durable_after.p50 for f in self.figures if f.durable_after]),
            durable_p99_ms=_median([f.durable_after.p99 for f in self.figures if f.durable_after]),
            lag_grows_by_second=round(_slope(self.looks), 2),
            retries=last.retries - first.retries,
            lost_streams=sum(last.statuses.values()) - sum(first.statuses.values()),
            missing=ledger.missing,
            duplicated=ledger.duplicated,
            wrong=ledger.wrong,
            cores_busy=round(self.busy / seconds, 2),
            costs={name: self._cost(name, durable) for name in self.first if name in self.last},
            looks=self.looks,
            problem=problem,
        )

    def _cost(self, name: str, durable: int) -> Cost:
        first, last = self.first[name], self.last[name]
        used = last.cpu_seconds - first.cpu_seconds
        return Cost(
            cpu_seconds_per_1000=round(1000 * used / max(durable, 1), 3),
            cpu_percent=round(100 * used / (last.at - first.at), 1),
            rss_bytes=last.rss_bytes,
        )


async def _observe(
    stack: FleetStack, fleet: FleetProcess, interval: float, seconds: float
) -> _Observed:
    observed = _Observed(fleet.figures.agents, interval)
    pids = {**stack.pids(), "fleet": fleet.process.pid}
    roots = {name: pids[name] for name in (*SERVERS, "fleet")}
    client = await stack.client("operator")
    try:
        jetstream = client.jetstream(timeout=10)
        begin = time.monotonic()
        known = len(fleet.history)
        observed.first = await _readings(roots)
        busy = busy_seconds()
        while time.monotonic() - begin < seconds:
            await asyncio.sleep(LOOK_EVERY)
            observed.looks.append(await _look(jetstream, fleet, time.monotonic() - begin))
        observed.busy = busy_seconds() - busy
        observed.last = await _readings(roots)
        observed.figures = fleet.history[known:]
    finally:
        await client.close()
    return observed


async def _readings(roots: Mapping[str, int]) -> dict[str, Reading]:
    return {name: await asyncio.to_thread(read, pid) for name, pid in roots.items()}


async def _look(jetstream: JetStreamContext, fleet: FleetProcess, seconds: float) -> Look:
    place = await jetstream.consumer_info(Stream.TELEMETRY, Durable.INGEST_WRITE_TELEMETRY)
    figures = fleet.figures
    after = figures.durable_after
    return Look(
        seconds=round(seconds, 1),
        unread=place.num_pending or 0,
        in_hand=figures.in_hand,
        durable_after=None if after is None else round(after.p50, 4),
    )


def _median(seconds: Sequence[float]) -> float:
    return round(1000 * statistics.median(seconds), 1) if seconds else 0.0


def _slope(looks: Sequence[Look]) -> float:
    """Return the growth of samples in hand over time, by least squares."""
    if len({look.seconds for look in looks}) < 2:
        return 0.0
    return statistics.linear_regression(
        [look.seconds for look in looks], [float(look.in_hand) for look in looks]
    ).slope


def table(rows: Sequence[Row]) -> str:
    names = ("fleet", *SERVERS)
    head = [
        *("agents", "offered/s", "durable/s", "accepted p50/p99 ms", "durable p50/p99 ms"),
        *("lag/s", "lost", "doubled", "cores", *(f"{name} s/1000" for name in names)),
    ]
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    text = "".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) + "\n"
        for line in lines
    )
    return text + "".join(f"{row.agents} agents: {row.problem}\n" for row in rows if row.problem)


def _cells(row: Row) -> list[str]:
    costs = [row.costs.get(name) for name in ("fleet", *SERVERS)]
    return [
        *(f"{row.connected}/{row.agents}", f"{row.offered_per_second:.0f}"),
        f"{row.durable_per_second:.0f}",
        f"{row.accepted_p50_ms:.0f}/{row.accepted_p99_ms:.0f}",
        f"{row.durable_p50_ms:.0f}/{row.durable_p99_ms:.0f}",
        *(f"{row.lag_grows_by_second:+.1f}", str(row.missing), str(row.duplicated)),
        f"{row.cores_busy:.2f}",
        *("-" if cost is None else f"{cost.cpu_seconds_per_1000:.2f}" for cost in costs),
    ]


def draw(rows: Sequence[Row]) -> str:
    names = ("fleet", *SERVERS)
    return plot.stacked_bars(
        title="CPU seconds per 1,000 snapshots, by number of agents",
        groups=[f"{row.agents:,}" for row in rows],
        series={
            name: [
                row.costs[name].cpu_seconds_per_1000 if name in row.costs else 0.0 for row in rows
            ]
            for name in names
        },
    )


def say(what: str) -> None:
    sys.stderr.write(f"{what}\n")


if __name__ == "__main__":
    sys.exit(main())
