"""Thirty days of history for the demo's servers, written directly into the tables.

SQL generates the minutes of a server. Its samples and traffic records are derived from them. The
expressions of the rollup compute the coarser tiers from them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from flotilla.v1.metrics_pb2 import DropReport, PerformanceSnapshot
from services.ingest.store import containers, gaps, rollup_columns, traffic
from services.ingest.store import rollup as rollup_store
from services.kit.metrics import fields as metric_fields
from services.kit.metrics.tiers import (
    COARSE,
    MINUTE,
    RAW_TABLE,
    SPIKY,
    TOTALS,
    TRAFFIC,
    Tier,
    floor,
)
from tests.demo import live
from tests.demo.profiles import Profile, Trouble, disk_shares, disk_weights, swap, usable_memory

DAYS = 30
RAW_SPAN = timedelta(hours=47)  # samples are kept for 48
CONTAINERS_SPAN = timedelta(days=2)
CONNECTIONS = 2
# Range, in minutes before the newest sample, that an agent with a full disk dropped.
GAP = (13_000, 12_950)
SERVERS_WITH_GAP = (14,)


@dataclass(frozen=True, slots=True)
class Filled:
    """A server with its history: when it ends, and the network counters at that time."""

    profile: Profile
    vps_id: UUID
    until: datetime
    rx_total: int
    tx_total: int


_TOTALS = {"mem_total": "%(memory)s", "swap_total": "%(swap)s", "disk_total": "%(disk_total)s"}
# Values of a minute. `day` is its position in the day and `v` its load, both from 0 to 1.
_GAUGES = {
    "cpu_usage": "least(99.5, 100 * v + 4 * random() + 52 * hot)",
    "cpu_iowait": "0.3 + 1.5 * v * random() + 13 * backup",
    "cpu_steal": "0.4 * random() + (18 + 14 * day + 6 * random()) * %(steal)s",
    "load_1": "%(cores)s * (v * (0.85 + 0.4 * random()) + 1.3 * hot)",
    "load_5": "%(cores)s * (v * (0.95 + 0.1 * random()) + 1.2 * hot)",
    "load_15": "%(cores)s * (v + 1.1 * hot)",
    "mem_usage": "100 * memory",
    "mem_used": "memory * %(memory)s",
    "mem_cached": "(0.92 - memory) * 0.8 * %(memory)s",
    "swap_used": "(0.04 + %(swapping)s * age) * %(swap)s",
    "disk_usage": "100 * disk",
    "disk_used": "disk * %(disk_weight)s",
    "disk_io_read": "1.5e5 + 4e6 * v * random() + 3.5e7 * backup",
    "disk_io_write": "3e5 + 2.5e6 * v * (0.5 + random()) + 4e6 * backup",
    "disk_iops_read": "8 + 260 * v * random() + 900 * backup",
    "disk_iops_write": "20 + 190 * v * (0.5 + random())",
    "net_rx": "rx",
    "net_tx": "tx",
    "tcp_connections": "%(connections)s * (0.3 + 0.3 * day + 0.8 * v) * (0.9 + 0.2 * random())",
    "udp_connections": "6 + 5 * random()",
    "processes": "96 + 5 * %(cores)s + 30 * v + 3 * random()",
    "temperature": "%(temperature)s::float8 + 19 * v + random()",
}
_WHOLE = (
    *("mem_used", "mem_cached", "swap_used", "disk_used", "tcp_connections", "udp_connections"),
    "processes",
)
_PERCENTAGES = ("cpu_usage", "cpu_iowait", "cpu_steal", "mem_usage")
_MODEL = f"""
CREATE TEMPORARY TABLE demo_minutes ON COMMIT DROP AS
WITH times AS (
    SELECT t, extract(epoch FROM t)::float8 AS s,
        extract(epoch FROM t)::float8 + %(utc_offset)s * 3600 AS local_s,
        extract(epoch FROM %(until)s - t)::float8 / %(span)s AS ago
    FROM generate_series(%(since)s, %(until)s - interval '1 minute', interval '1 minute') AS t
    WHERE NOT (t >= %(gap_from)s AND t < %(gap_until)s)
),
waves AS (
    SELECT t, s, 1 - ago AS age,
        0.5 - 0.5 * cos(2 * pi() * (local_s / 86400 - 0.125)) AS day,
        -- The epoch was a Thursday.
        CASE WHEN floor(local_s / 86400)::bigint %% 7 IN (2, 3) THEN 0.6 ELSE 1 END AS week,
        CASE WHEN mod(local_s::bigint + %(seed)s * 211, 86400) BETWEEN 9000 AND 10500
            THEN 1 ELSE 0 END AS backup,
        CASE WHEN hashint4((s / 1500)::integer + %(seed)s * 7919) %% 15 = 0
            THEN 1 ELSE 0 END AS burst,
        CASE WHEN t > %(until)s - interval '3 hours' THEN %(hot)s ELSE 0 END AS hot,
        0.035 * sin(s / 1700 + %(seed)s) + 0.02 * sin(s / 410 + 3 * %(seed)s) AS ripple
    FROM times
),
loads AS (
    SELECT *, least(0.97, greatest(0.01, %(idle)s + %(wave)s * day * week + ripple
        + 0.2 * burst + 0.08 * backup + 0.03 * random())) AS v
    FROM waves
),
levels AS (
    SELECT *,
        least(0.985, %(memory_share)s + 0.05 * v + 0.05 * (age * 4.3 - floor(age * 4.3))
            + %(memory_rise)s * age ^ 6) AS memory,
        %(disk_from)s + (%(disk_to)s - %(disk_from)s) * age AS disk,
        (%(rx)s * (0.2 + 1.4 * v) * (0.8 + 0.4 * random()))::float8 AS rx,
        (%(tx)s * (0.2 + 1.4 * v) * (0.8 + 0.4 * random()) + 6e6 * backup)::float8 AS tx
    FROM loads
)
SELECT t, {", ".join(f"({value})::real AS {name}" for name, value in _GAUGES.items())},
    {", ".join(f"({value})::bigint AS {name}" for name, value in _TOTALS.items())},
    (sum(rx * 60) OVER boots)::bigint AS net_rx_total,
    (sum(tx * 60) OVER boots)::bigint AS net_tx_total,
    CASE WHEN t >= %(boot)s THEN (s - extract(epoch FROM %(boot)s))::bigint
        ELSE (s - extract(epoch FROM %(since)s))::bigint + 4000000 END AS uptime
FROM levels
WINDOW boots AS (PARTITION BY t >= %(boot)s ORDER BY t)
"""


def _minute_value(name: str) -> str:
    base = name.removesuffix("_max")
    if name == "samples":
        return "2"
    if name == "seconds":
        return "(1 | 1 << 30)::bigint"
    if base == name:
        return name
    peak = f"{base} * (1.04 + 0.3 * random())"
    return f"least(100, {peak})" if base in _PERCENTAGES else peak


_MINUTES = (
    f"INSERT INTO {MINUTE.table} (vps_id, time, {', '.join(rollup_columns.columns(MINUTE))})"
    f" SELECT %(vps_id)s, t, {', '.join(map(_minute_value, rollup_columns.columns(MINUTE)))}"
    " FROM demo_minutes ON CONFLICT (vps_id, time) DO NOTHING"
)


def _sample_value(name: str) -> str:
    if name == "net_rx_total":
        return "net_rx_total - (net_rx * (60 - second))::bigint"
    if name == "net_tx_total":
        return "net_tx_total - (net_tx * (60 - second))::bigint"
    if name == "uptime":
        return "uptime + second"
    value = name
    if name in SPIKY and name != "mem_usage":
        value = f"({name} * (0.94 + 0.12 * random()))"
        value = f"least(100, {value})" if name in _PERCENTAGES else value
    return f"{value}::{'bigint' if name in (*_WHOLE, *TOTALS) else 'real'}"


# Two samples per minute, 8 to 12 seconds after the full and the half minute.
_NAMES = [metric.name for metric in metric_fields.METRICS]
_SAMPLES = (
    f"INSERT INTO {RAW_TABLE} (vps_id, time, {', '.join(_NAMES)}, detail)"
    " SELECT %(vps_id)s, t + (second + %(seed)s * 0.1) * interval '1 second',"
    f" {', '.join(map(_sample_value, _NAMES))}, details.detail"
    " FROM demo_minutes CROSS JOIN unnest(ARRAY[8, 38]) AS second"
    " LEFT JOIN unnest(%(hours)s::timestamptz[], %(details)s::bytea[]) AS details (hour, detail)"
    " ON details.hour = date_trunc('hour', t, 'UTC')"
    " WHERE t >= %(raw_from)s ON CONFLICT (vps_id, time) DO NOTHING"
)
_TRAFFIC = f"""
INSERT INTO {TRAFFIC.table} (
    vps_id, time, first_at, last_at, since_at, rx, tx, step_rx, step_tx, first_rx, first_tx,
    last_rx, last_tx, first_uptime, last_uptime, first_rx_rate, first_tx_rate
)
SELECT %(vps_id)s, time, first_at, last_at, since_at, last_rx - first_rx, last_tx - first_tx,
    CASE WHEN since_at IS NULL THEN 0 WHEN first_rx < before_rx THEN first_rx
        ELSE first_rx - before_rx END,
    CASE WHEN since_at IS NULL THEN 0 WHEN first_tx < before_tx THEN first_tx
        ELSE first_tx - before_tx END,
    first_rx, first_tx, last_rx, last_tx, first_uptime, last_uptime, first_rx_rate, first_tx_rate
FROM (
    SELECT *, lag(last_at) OVER w AS since_at, lag(last_rx) OVER w AS before_rx,
        lag(last_tx) OVER w AS before_tx
    FROM (
        SELECT time_bucket(%(width)s, t) AS time, min(t) AS first_at, max(t) AS last_at,
            first(net_rx_total, t) AS first_rx, first(net_tx_total, t) AS first_tx,
            last(net_rx_total, t) AS last_rx, last(net_tx_total, t) AS last_tx,
            first(uptime, t)::integer AS first_uptime, last(uptime, t)::integer AS last_uptime,
            first(net_rx, t) AS first_rx_rate, first(net_tx, t) AS first_tx_rate
        -- A reboot inside a record would make it fall.
        FROM demo_minutes GROUP BY 1
    ) buckets
    WINDOW w AS (ORDER BY time)
) records
WHERE last_rx >= first_rx AND last_tx >= first_tx
ON CONFLICT (vps_id, time) DO NOTHING
"""
_COARSE = """
INSERT INTO {table} (vps_id, time, {columns})
SELECT %(vps_id)s, r.* FROM (
    SELECT time_bucket(%(width)s, p.time) AS bucket, {aggregates}
    FROM (
        SELECT {source_columns} FROM {source} s WHERE s.vps_id = %(vps_id)s
        WINDOW w AS (PARTITION BY time_bucket(%(width)s, s.time) ORDER BY s.time)
    ) p
    GROUP BY 1
) r
ON CONFLICT (vps_id, time) DO NOTHING
"""
_CONTAINERS = """
INSERT INTO docker_metrics (time, container_db_id, mem_usage, mem_limit, cpu_usage, net_rx, net_tx,
    block_read, block_write)
SELECT t, c.id, (w * 2.5e8 + 9e7)::bigint, %(memory)s, 18 * w, 4e4 * w, 9e4 * w, 2e4 * w, 6e4 * w
FROM docker_containers c
CROSS JOIN generate_series(%(until)s - %(span)s, %(until)s, interval '2 minutes') AS t
CROSS JOIN LATERAL (
    SELECT 0.5 + 0.4 * sin(extract(epoch FROM t) / 13751 + c.id) + 0.1 * random() AS w
) waves
WHERE c.vps_id = %(vps_id)s
ON CONFLICT (container_db_id, time) DO NOTHING
"""


@cache
def _coarse(tier: Tier) -> sql.Composed:
    return sql.SQL(_COARSE).format(
        table=sql.Identifier(tier.table),
        columns=sql.SQL(", ").join(map(sql.Identifier, rollup_columns.columns(tier))),
        aggregates=rollup_columns.aggregates(tier),
        source_columns=rollup_columns.source_columns(tier),
        source=sql.Identifier(MINUTE.table),
    )


async def fill(
    url: str,
    servers: Sequence[tuple[Profile, UUID]],
    *,
    days: int,
    connections: int = CONNECTIONS,
) -> list[Filled]:
    """Write the history of these servers; return where each ends."""
    now = floor(datetime.now(timezone.utc), MINUTE.width)
    waiting = iter(servers)
    filled: list[Filled] = []

    async def write() -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("SET synchronous_commit = off")
            await connection.commit()
            for profile, vps_id in waiting:
                async with connection.transaction():
                    filled.append(await _write(connection, profile, vps_id, now, days))

    await asyncio.gather(*(write() for _ in range(connections)))
    async with await psycopg.AsyncConnection.connect(url) as connection:
        states = await rollup_store.states(connection)
        await traffic.count_periods(connection, until=states[TRAFFIC.name].rolled_until)
    return sorted(filled, key=lambda server: server.profile.number)


async def _write(
    connection: psycopg.AsyncConnection, profile: Profile, vps_id: UUID, now: datetime, days: int
) -> Filled:
    until = floor(now - timedelta(seconds=profile.silent_seconds), MINUTE.width)
    since = until - timedelta(days=days)
    raw_from = max(since, now - RAW_SPAN)
    given = _model(profile, since, until)
    given |= {"vps_id": vps_id, "raw_from": raw_from, "width": TRAFFIC.width}
    given |= _details(profile, raw_from, until, given)
    for statement in (_MODEL, _MINUTES, _SAMPLES, _TRAFFIC):
        await connection.execute(statement.encode(), given)
    for tier in COARSE:
        await connection.execute(_coarse(tier), {"vps_id": vps_id, "width": tier.width})
    cursor = await connection.execute(
        "SELECT min(t), max(t), (array_agg(net_rx_total ORDER BY t DESC))[1],"
        " (array_agg(net_tx_total ORDER BY t DESC))[1] FROM demo_minutes"
    )
    row = await cursor.fetchone()
    assert row is not None
    first, last, rx_total, tx_total = row
    await connection.execute("DROP TABLE demo_minutes")
    middle = [first + timedelta(days=27 * step) for step in range(1, (last - first).days // 27 + 1)]
    await traffic.create_periods(
        connection, records=[(vps_id, time) for time in (first, *middle, last)]
    )
    if profile.number in SERVERS_WITH_GAP:
        await gaps.upsert_gaps(connection, [_gap(vps_id, given)])
    if profile.role.containers:
        await _put_containers(connection, profile, vps_id, until)
    return Filled(profile, vps_id, until, rx_total, tx_total)


def _model(profile: Profile, since: datetime, until: datetime) -> dict[str, Any]:
    plan, role = profile.plan, profile.role
    gap_from, gap_until = (until - timedelta(minutes=minutes) for minutes in GAP)
    if profile.number not in SERVERS_WITH_GAP:
        gap_until = gap_from
    disk_from, disk_to = disk_shares(profile)
    full = profile.trouble is Trouble.MEMORY_FULL
    return {
        "since": since,
        "until": until,
        "span": (until - since).total_seconds(),
        "boot": until - timedelta(seconds=profile.uptime),
        "gap_from": gap_from,
        "gap_until": gap_until,
        "seed": profile.number,
        "utc_offset": profile.region.utc_offset,
        "cores": plan.cores,
        "memory": usable_memory(profile),
        "swap": swap(profile),
        "disk_total": sum(size for *_, size in plan.disks),
        "disk_weight": sum(size * weight for size, weight in disk_weights(profile)),
        "idle": role.idle,
        "wave": role.wave,
        "memory_share": role.memory,
        "memory_rise": max(0.0, 0.9 - role.memory) if full else 0.0,
        "swapping": 0.8 if full else 0.1,
        "disk_from": disk_from,
        "disk_to": disk_to,
        "rx": role.rx,
        "tx": role.tx,
        "connections": role.connections,
        "steal": float(profile.trouble is Trouble.STEAL),
        "hot": float(profile.trouble is Trouble.HOT),
        "temperature": profile.temperature,
    }


def _details(
    profile: Profile, raw_from: datetime, until: datetime, given: dict[str, Any]
) -> dict[str, Any]:
    """Return the hours of the samples, and the detail of each hour."""
    hour = floor(raw_from, timedelta(hours=1))
    hours, details = [], []
    while hour < until:
        age = max(0.0, 1 - (until - hour).total_seconds() / given["span"])
        share = given["disk_from"] + (given["disk_to"] - given["disk_from"]) * age
        hours.append(hour)
        snapshot = PerformanceSnapshot()
        live.put_disks(snapshot, profile, share)
        details.append(metric_fields.pack_detail(snapshot))
        hour += timedelta(hours=1)
    return {"hours": hours, "details": details}


def _gap(vps_id: UUID, given: dict[str, Any]) -> gaps.Gap:
    first, last = given["gap_from"], given["gap_until"]
    report = DropReport(
        id=1,
        reason=DropReport.REASON_SPACE,
        kind=DropReport.KIND_PERFORMANCE,
        count=round((last - first).total_seconds() / 30),
        first_unix_ms=round(first.timestamp() * 1000),
        last_unix_ms=round(last.timestamp() * 1000),
    )
    return gaps.Gap(vps_id, "demo", report)


async def _put_containers(
    connection: psycopg.AsyncConnection, profile: Profile, vps_id: UUID, until: datetime
) -> None:
    listing = live.containers(profile, round(until.timestamp() * 1000))
    await containers.insert_listings(connection, [containers.Listing(vps_id, listing)])
    await connection.execute(
        _CONTAINERS.encode(),
        {
            "vps_id": vps_id,
            "until": until,
            "span": CONTAINERS_SPAN,
            "memory": usable_memory(profile),
        },
    )
