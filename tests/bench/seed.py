"""Generation of a month of a fleet's history within minutes, and the speed of reading it.

SQL generates samples and minutes in the order in which they would have arrived. The statements of the
rollup compute the coarser tiers and everything of the last two days.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import psycopg
from psycopg import sql

from deploy.local import machine, processes
from deploy.local.settings import Settings, read
from services.ingest.store import rollup, rollup_columns, traffic
from services.kit.metrics.fields import METRICS
from services.kit.metrics.tiers import (
    COARSE,
    COUNTERS,
    GAUGES,
    MINUTE,
    RAW,
    RAW_TABLE,
    TIERS,
    TOTALS,
    TRAFFIC,
    TWO_HOURS,
    Aggregate,
    Tier,
    floor,
    has,
)
from tests.bench import own_stack

DETAIL_BYTES = 135  # size for a machine with two cores, one disk and one interface
# Value of each gauge at full load.
SCALE = {
    **dict.fromkeys(GAUGES, 100.0),
    **dict.fromkeys(("mem_used", "mem_cached", "swap_used"), 4e9),
    **dict.fromkeys(("disk_used", "disk_io_read", "disk_io_write", "net_rx", "net_tx"), 5e7),
    **dict.fromkeys(("load_1", "load_5", "load_15"), 4.0),
}
WHOLE = (
    *("mem_used", "mem_cached", "swap_used", "disk_used"),
    *("tcp_connections", "udp_connections", "processes"),
)
RANGES = {
    "1 h": timedelta(hours=1),
    "6 h": timedelta(hours=6),
    "24 h": timedelta(days=1),
    "7 d": timedelta(days=7),
    "30 d": timedelta(days=30),
    "1 y": timedelta(days=365),
}
WRITERS = 2  # connections at a time
# Range of samples per statement. It does not influence their order on disk.
RAW_STEP = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Size:
    servers: int
    days: int
    raw_hours: int
    raw_interval: int  # seconds
    year: bool


@dataclass(frozen=True, slots=True)
class Kept:
    table: str
    rows: int
    bytes_per_row: float
    heap: float
    index: float


@dataclass(frozen=True, slots=True)
class Reading:
    range: str
    requests: int
    points: int
    p50_ms: float
    p95_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Seeded:
    size: Size
    seconds: float
    kept: Sequence[Kept]
    readings: Sequence[Reading]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=30, help="of minutes (default 30)")
    parser.add_argument("--raw-hours", type=int, default=48)
    parser.add_argument("--raw-interval", type=int, default=30, help="seconds (default 30)")
    parser.add_argument("--year", action="store_true", help="two-hours buckets of a whole year too")
    parser.add_argument("--requests", type=int, default=200, help="for each range (default 200)")
    parser.add_argument(
        "--state", type=Path, help="a stack that is up, to keep the data; default: one of its own"
    )
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    given = parser.parse_args()
    size = Size(given.servers, given.days, given.raw_hours, given.raw_interval, given.year)
    done = run(size, given.requests, given.state)
    if given.json:
        given.json.write_text(json.dumps(asdict(done), indent=2) + "\n")
    print_out(done)
    return 0


def run(size: Size, requests: int, state: Path | None = None) -> Seeded:
    """Fill a running stack, or a separate one, and read each range `requests` times."""
    with ExitStack() as stack:
        settings = (
            Settings(state, read(state / "flotilla.env"), own_database=True)
            if state
            else stack.enter_context(own_stack.running())
        )
        supervisor = own_stack.supervisor(settings)
        processes.stop_program(supervisor, "rollup")
        started = time.monotonic()
        fleet, kept = asyncio.run(seed(settings.values["DATABASE_URL"], size))
        seconds = time.monotonic() - started
        processes.start(supervisor, "rollup")
        with machine.logged_in(settings) as client:
            readings = [
                measure(client, fleet, name, span, requests)
                for name, span in RANGES.items()
                if span <= timedelta(days=size.days) or size.year
            ]
    return Seeded(size, seconds, kept, readings)


async def seed(url: str, size: Size) -> tuple[list[str], list[Kept]]:
    """Fill the tables; return the ids of the servers and the sizes of the tables."""
    now = floor(datetime.now(timezone.utc), MINUTE.step)
    raw_from = floor(now - timedelta(hours=size.raw_hours), TWO_HOURS.width)
    first = floor(now - timedelta(days=size.days), timedelta(days=1))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET synchronous_commit = off")
        fleet = await add_servers(connection, size.servers)
    say(f"{size.servers:,} servers: samples of {size.raw_hours} h")
    await each(
        url,
        windows(raw_from, now, RAW_STEP),
        lambda c, s, u: put_raw(c, fleet, s, u, size.raw_interval),
    )
    say(f"minutes of {size.days} days")
    await each(
        url, windows(first, raw_from, MINUTE.step), lambda c, s, u: put_tier(c, fleet, MINUTE, s, u)
    )
    say("minutes of the samples")
    await each(
        url,
        windows(raw_from, now, MINUTE.step),
        lambda c, s, u: rollup.roll(c, tier=MINUTE, since=s, until=u),
    )
    for tier in COARSE:
        say(f"{tier.name} of the minutes")
        await each(
            url,
            windows(first, floor(now, tier.step), tier.step),
            lambda c, s, u, tier=tier: rollup.roll(c, tier=tier, since=s, until=u),
        )
    if size.year:
        say("2h of a year")
        await each(
            url,
            windows(floor(now - timedelta(days=366), timedelta(days=1)), first, TWO_HOURS.step),
            lambda c, s, u: put_tier(c, fleet, TWO_HOURS, s, u),
        )
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        say("traffic")
        # In order, because a step is the growth since the previous record.
        for since, until in windows(raw_from, floor(now, TRAFFIC.width), TRAFFIC.step):
            ends = await traffic.roll(connection, since=since, until=until)
            await traffic.create_periods(connection, records=ends)
        await traffic.count_periods(connection, until=floor(now, TRAFFIC.width))
        for name, step in [
            (RAW, MINUTE.step),
            *((tier.name, tier.step) for tier in TIERS),
            (TRAFFIC.name, TRAFFIC.width),
        ]:
            await connection.execute(
                "UPDATE rollup_state SET rolled_until = %s, complete_from = %s WHERE tier = %s",
                [floor(now, step), raw_from if name in {RAW, TRAFFIC.name} else first, name],
            )
        if size.year:
            await connection.execute(
                "UPDATE rollup_state SET complete_from = 'epoch' WHERE tier = '2h'"
            )
        say("vacuum")
        for table in (RAW_TABLE, *(tier.table for tier in (*TIERS, TRAFFIC))):
            await connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))
        return fleet, await bytes_kept(connection)


def windows(since: datetime, until: datetime, step: timedelta) -> list[tuple[datetime, datetime]]:
    found = []
    while since < until:
        found.append((since, min(since + step, until)))
        since += step
    return found


async def each(url: str, work: Sequence[tuple[datetime, datetime]], put: object) -> None:
    """Handle a few windows at a time, each on its own connection."""
    waiting = iter(work)

    async def write() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("SET synchronous_commit = off")
            for since, until in waiting:
                await put(connection, since, until)  # type: ignore[operator]

    await asyncio.gather(*(write() for _ in range(WRITERS)))


async def add_servers(connection: psycopg.AsyncConnection, count: int) -> list[str]:
    cursor = await connection.execute(
        "INSERT INTO vps (user_id, name) SELECT id, 'bench ' || n FROM users,"
        " generate_series(1, %s) AS n WHERE username = 'admin' RETURNING id::text",
        [count],
    )
    return [vps_id for (vps_id,) in await cursor.fetchall()]


# Values are a daily wave, shifted per server, plus noise.
_SERVERS = (
    " (SELECT id, row_number() OVER () AS n FROM vps WHERE id = ANY (%(fleet)s::uuid[])) AS vps"
)
_TIMES = (
    " generate_series(%(since)s::timestamptz, %(until)s::timestamptz - %(every)s, %(every)s) AS t"
)
_VALUES = (
    " CROSS JOIN LATERAL (SELECT extract(epoch FROM t)::float8 AS s) e CROSS JOIN LATERAL (SELECT"
    " (0.4 + 0.3 * sin(s / 13751 + hashtext(id::text)) + 0.3 * random())::real AS v) w"
)
# The order in which samples arrive, and the order after a step of the rollup.
_BY_TIME = f" FROM{_TIMES} CROSS JOIN{_SERVERS}{_VALUES} ORDER BY t"
_BY_SERVER = f" FROM{_SERVERS} CROSS JOIN{_TIMES}{_VALUES} ORDER BY id, t"


async def put_raw(
    connection: psycopg.AsyncConnection,
    fleet: Sequence[str],
    since: datetime,
    until: datetime,
    interval: int,
) -> None:
    values: dict[str, str] = {name: f"(v * {scale})::real" for name, scale in SCALE.items()}
    values |= {name: f"(v * {SCALE[name]})::bigint" for name in WHOLE}
    values |= dict.fromkeys(TOTALS, "8000000000")
    values |= {"uptime": "(s - 1.5e9)::bigint"}
    values |= dict.fromkeys(("net_rx_total", "net_tx_total"), "((s - 1.5e9) * 20000)::bigint")
    values |= {"temperature": "NULL", "cpu_steal": "0"}
    names = [metric.name for metric in METRICS]
    # Agents do not report at the same moment.
    await _put(
        connection,
        fleet,
        f"INSERT INTO performance_metrics (vps_id, time, {', '.join(names)}, detail)"
        f" SELECT id, t + n %% 1000 * interval '1 ms', {', '.join(values[n] for n in names)},"
        f" repeat('x', {DETAIL_BYTES})::bytea" + _BY_TIME,
        since,
        until,
        every=timedelta(seconds=interval),
    )


async def put_tier(
    connection: psycopg.AsyncConnection,
    fleet: Sequence[str],
    tier: Tier,
    since: datetime,
    until: datetime,
) -> None:
    values = {"samples": "12", "seconds": "-1", **dict.fromkeys(TOTALS, "8e9::real")}
    values |= dict.fromkeys(COUNTERS, "((s - 1.5e9) * 20000)::bigint")
    for name in GAUGES:
        value = "NULL" if name == "temperature" else f"(v * {SCALE[name]}"
        for suffix, factor in (("", 1), ("_min", 0.8), ("_max", 1.2), ("_p95", 1.1)):
            if value != "NULL":
                values[name + suffix] = f"{value} * {factor})::real"
            elif not suffix or has(tier, name, Aggregate(suffix[1:])):
                values[name + suffix] = "NULL"
    names = rollup_columns.columns(tier)
    await _put(
        connection,
        fleet,
        f"INSERT INTO {tier.table} (vps_id, time, {', '.join(names)})"
        f" SELECT id, t, {', '.join(values[name] for name in names)}" + _BY_SERVER,
        since,
        until,
        every=tier.width,
    )


async def _put(
    connection: psycopg.AsyncConnection,
    fleet: Sequence[str],
    statement: str,
    since: datetime,
    until: datetime,
    *,
    every: timedelta,
) -> None:
    await connection.execute(
        statement.encode(),
        {"since": since, "until": until, "every": every, "fleet": list(fleet)},
    )


async def bytes_kept(connection: psycopg.AsyncConnection) -> list[Kept]:
    found = []
    for table in (RAW_TABLE, *(tier.table for tier in (*TIERS, TRAFFIC))):
        cursor = await connection.execute(
            sql.SQL(
                "SELECT (SELECT count(*) FROM {}), sum(pg_table_size(chunk))::bigint,"
                " sum(pg_indexes_size(chunk))::bigint FROM show_chunks({}) AS chunk"
            ).format(sql.Identifier(table), sql.Literal(table))
        )
        row = await cursor.fetchone()
        assert row is not None
        count, heap, index = row
        if count:
            found.append(Kept(table, count, (heap + index) / count, heap / count, index / count))
    return found


def measure(
    client: httpx.Client, fleet: Sequence[str], name: str, span: timedelta, requests: int
) -> Reading:
    """Read random servers. Half of the ranges end now, the others end earlier."""
    dice = random.Random(name)
    now = datetime.now(timezone.utc)
    taken, points = [], 0
    for number in range(requests):
        age = timedelta(0) if number % 2 else dice.random() * min(timedelta(days=20), span)
        end = now - age if span < timedelta(days=30) else now
        window = {"start": (end - span).isoformat(), "end": end.isoformat()}
        path = f"/vps/{dice.choice(fleet)}/metrics/historical"
        started = time.perf_counter()
        answer = client.get(path, params=window).raise_for_status()
        taken.append(1_000 * (time.perf_counter() - started))
        points = max(points, len(answer.json()["time"]))
    ordered = sorted(taken)

    def rank(share: float) -> float:
        return round(ordered[math.ceil(share * len(ordered)) - 1], 1)

    return Reading(name, requests, points, rank(0.5), rank(0.95), rank(1))


def print_out(done: Seeded) -> None:
    lines = [
        f"seeded in {done.seconds:.0f} s",
        "",
        "table                  rows  bytes/row  heap  index",
    ]
    lines += [
        f"{k.table:20} {k.rows:>12,} {k.bytes_per_row:8.0f} {k.heap:6.0f} {k.index:6.0f}"
        for k in done.kept
    ]
    lines += ["", "range  points   p50 ms   p95 ms   max ms"]
    lines += [
        f"{r.range:6} {r.points:6} {r.p50_ms:8.1f} {r.p95_ms:8.1f} {r.max_ms:8.1f}"
        for r in done.readings
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def say(what: str) -> None:
    sys.stderr.write(f"{datetime.now(timezone.utc):%H:%M:%S} {what}\n")


if __name__ == "__main__":
    sys.exit(main())
