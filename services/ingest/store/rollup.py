"""The SQL of rolling up. Functions take the connection and never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import LiteralString, cast
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import class_row, scalar_row

from services.ingest.rows import Row
from services.kit.tiers import (
    COUNTERS,
    GAUGES,
    MINUTE,
    RAW_TABLE,
    SPIKY,
    TOTALS,
    Aggregate,
    State,
    Tier,
    column,
    has,
)

# For pg_advisory_xact_lock. Who works, one at a time.
LEAD = 0x726F6C6C
# Shared by who writes samples, alone for who moves the seal; migration 0004 has it too.
SEAL = 0x7365616C

Mark = tuple[UUID, datetime]


async def lead(connection: AsyncConnection, *, seconds: int) -> bool:
    """Whether this transaction is the one that works; others stand by.

    Its statements may take so long, and wait two seconds for locks.
    """
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT pg_try_advisory_xact_lock(%s) FROM (SELECT"
            " set_config('statement_timeout', %s, true), set_config('lock_timeout', '2s', true)) s",
            [LEAD, f"{seconds}s"],
        )
        return bool(await cursor.fetchone())


async def states(connection: AsyncConnection) -> dict[str, State]:
    cursor = await connection.execute("SELECT tier, rolled_until, complete_from FROM rollup_state")
    return {tier: State(rolled, complete) for tier, rolled, complete in await cursor.fetchall()}


async def expect_few(connection: AsyncConnection) -> None:
    """What this transaction joins is few rows of large tables: by their indexes, whatever is guessed."""
    await connection.execute(
        "SELECT set_config('enable_hashjoin', 'off', true),"
        " set_config('enable_mergejoin', 'off', true)"
    )


async def now(connection: AsyncConnection) -> datetime:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT now()")
        time: datetime | None = await cursor.fetchone()
        assert time is not None
        return time


async def first_chunk(
    connection: AsyncConnection, *, table: str, after: datetime
) -> datetime | None:
    """From when on the hypertable holds anything after that time; None for nothing."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT min(range_start) FROM timescaledb_information.chunks"
            " WHERE hypertable_name = %s AND range_end > %s",
            [table, after],
        )
        return await cursor.fetchone()


async def hold_seal(connection: AsyncConnection) -> None:
    """Until the transaction ends nobody stores samples without seeing what it commits."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [SEAL])


async def set_rolled(connection: AsyncConnection, *, tier: str, until: datetime) -> None:
    await connection.execute(
        "UPDATE rollup_state SET rolled_until = %s WHERE tier = %s", [until, tier]
    )


def _named(template: LiteralString, **names: str) -> sql.Composed:
    return sql.SQL(template).format(**{key: sql.Identifier(name) for key, name in names.items()})


def _real(number: LiteralString) -> LiteralString:
    """A double as a real: one too small for that would fail the statement of all servers."""
    return "(CASE WHEN abs(" + number + ") < 1e-37 THEN 0 ELSE " + number + " END)::real"


def columns(tier: Tier) -> list[str]:
    columns = ["samples", *(["seconds"] if tier is MINUTE else []), *COUNTERS, *TOTALS]
    for metric in GAUGES:
        columns.append(metric)
        columns += [column(metric, kind) for kind in Aggregate if has(tier, metric, kind)]
    return columns


_SECOND = "floor(date_part('second', p.time))::integer"


def _of_samples() -> sql.Composed:
    """A minute's columns from its samples `p`."""
    parts: list[sql.Composable] = [
        sql.SQL("count(*)::integer AS samples, bit_or(1::bigint << " + _SECOND + ") AS seconds")
    ]
    parts += [_named("max(p.{name}) AS {name}", name=name) for name in COUNTERS]
    parts += [_named("max(p.{name})::real AS {name}", name=name) for name in TOTALS]
    for name in GAUGES:
        parts.append(_named(_real("avg(p.{name}::float8)") + " AS {name}", name=name))
        parts += [
            _named(f"{kind}(p.{{name}})::real AS {{to}}", name=name, to=column(name, kind))
            for kind in (Aggregate.MIN, Aggregate.MAX)
            if has(MINUTE, name, kind)
        ]
    return sql.SQL(", ").join(parts)


def _of_minutes() -> sql.Composed:
    """A coarser bucket's columns from its minutes `p`, which weigh by their samples."""
    parts: list[sql.Composable] = [sql.SQL("sum(p.samples)::integer AS samples")]
    parts += [_named("max(p.{name}) AS {name}", name=name) for name in (*COUNTERS, *TOTALS)]
    for name in GAUGES:
        parts.append(
            _named(
                _real(
                    "(sum(p.{name}::float8 * p.samples)"
                    " / sum(p.samples) FILTER (WHERE p.{name} IS NOT NULL))"
                )
                + " AS {name}",
                name=name,
            )
        )
        for kind in (Aggregate.MIN, Aggregate.MAX):
            source = column(name, kind) if has(MINUTE, name, kind) else name
            parts.append(
                _named(f"{kind}(p.{{name}}) AS {{to}}", name=source, to=column(name, kind))
            )
        if name in SPIKY:
            parts.append(
                _named(
                    _real("percentile_cont(0.95) WITHIN GROUP (ORDER BY p.{name})") + " AS {to}",
                    name=name,
                    to=column(name, Aggregate.P95),
                )
            )
    return sql.SQL(", ").join(parts)


def _replaced(tier: Tier) -> sql.Composed:
    return sql.SQL(", ").join(
        [_named("{name} = excluded.{name}", name=name) for name in columns(tier)]
    )


def _merged() -> sql.Composed:
    """A minute's columns `t` with those of samples it does not have yet."""
    parts: list[sql.Composable] = [
        sql.SQL("samples = t.samples + excluded.samples, seconds = t.seconds | excluded.seconds")
    ]
    parts += [
        _named("{name} = greatest(t.{name}, excluded.{name})", name=name)
        for name in (*COUNTERS, *TOTALS)
    ]
    for name in GAUGES:
        parts.append(
            _named(
                "{name} = CASE WHEN t.{name} IS NULL THEN excluded.{name}"
                " WHEN excluded.{name} IS NULL THEN t.{name}"
                " ELSE "
                + _real(
                    "((t.{name}::float8 * t.samples + excluded.{name}::float8 * excluded.samples)"
                    " / (t.samples + excluded.samples))"
                )
                + " END",
                name=name,
            )
        )
        parts += [
            _named(f"{{name}} = {function}(t.{{name}}, excluded.{{name}})", name=column(name, kind))
            for kind, function in ((Aggregate.MIN, "least"), (Aggregate.MAX, "greatest"))
            if has(MINUTE, name, kind)
        ]
    return sql.SQL(", ").join(parts)


_INSERT = "INSERT INTO {table} AS t (vps_id, time, {columns}) "
# A server at a time, by the primary key: there is no index by time alone, and samples of the last
# minutes are in memory.
_WINDOW = (
    "SELECT vps.id, r.* FROM vps CROSS JOIN LATERAL ("
    " SELECT time_bucket(%(width)s, p.time) AS bucket, {aggregates} FROM {source} p"
    " WHERE p.vps_id = vps.id AND p.time >= %(since)s AND p.time < %(until)s GROUP BY 1) r"
)
_MARKED = (
    "SELECT m.vps_id, m.time, r.* FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[])"
    " AS m (vps_id, time) JOIN vps ON vps.id = m.vps_id CROSS JOIN LATERAL ("
    " SELECT {aggregates} FROM {source} p WHERE p.vps_id = m.vps_id AND p.time >= m.time"
    " AND p.time < m.time + %(width)s HAVING count(*) > 0) r"
)
_REPLACE = " ON CONFLICT (vps_id, time) DO UPDATE SET {replaced}"
# Of the samples whose minute is rolled and whose fellows are gone, those it does not know.
UNKNOWN: LiteralString = (
    " FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[]) AS m (vps_id, time)"
    " JOIN vps ON vps.id = m.vps_id"
    " CROSS JOIN LATERAL (SELECT * FROM performance_metrics s WHERE s.vps_id = m.vps_id"
    " AND s.time >= m.time AND s.time < m.time + interval '1 minute' OFFSET 0) p"
    " LEFT JOIN performance_1m k ON k.vps_id = m.vps_id AND k.time = m.time"
    " WHERE (k.seconds IS NULL OR (k.seconds >> " + _SECOND + ") & 1 = 0)"
)


@cache
def _statement(tier: Tier, template: LiteralString) -> sql.Composed:
    return sql.SQL(template).format(
        table=sql.Identifier(tier.table),
        source=sql.Identifier(RAW_TABLE if tier is MINUTE else MINUTE.table),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns(tier))),
        aggregates=_of_samples() if tier is MINUTE else _of_minutes(),
        replaced=_replaced(tier),
        merged=_merged(),
    )


async def roll(connection: AsyncConnection, *, tier: Tier, since: datetime, until: datetime) -> int:
    """Make every server's buckets of the window; how many there are."""
    cursor = await connection.execute(
        _statement(tier, _INSERT + _WINDOW + _REPLACE),
        {"width": tier.width, "since": since, "until": until},
    )
    return cursor.rowcount


async def remake(connection: AsyncConnection, *, tier: Tier, marks: Sequence[Mark]) -> int:
    """Make those buckets again from all that is in them."""
    cursor = await connection.execute(
        _statement(tier, _INSERT + _MARKED + _REPLACE), {**arrays(marks), "width": tier.width}
    )
    return cursor.rowcount


async def merge_minutes(connection: AsyncConnection, *, marks: Sequence[Mark]) -> int:
    """Add samples that came after their minute's fellows were dropped, each once."""
    merge = (
        "SELECT m.vps_id, m.time, {aggregates}"
        + UNKNOWN
        + " GROUP BY 1, 2 ON CONFLICT (vps_id, time) DO UPDATE SET {merged}"
    )
    cursor = await connection.execute(_statement(MINUTE, _INSERT + merge), arrays(marks))
    return cursor.rowcount


def arrays(marks: Sequence[Mark]) -> dict[str, list[UUID] | list[datetime]]:
    return {"vps": [vps for vps, _ in marks], "times": [time for _, time in marks]}


async def mark_late(connection: AsyncConnection, *, rows: Sequence[Row]) -> int:
    """Mark the minutes of samples that are stored after their time was looked at; how many.

    Belongs into the transaction that stores the samples.
    """
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT looked_at_until()")
        until: datetime | None = await cursor.fetchone()
    assert until is not None
    late = {
        (vps, time.replace(second=0, microsecond=0))
        for vps, time in map(_mark, rows)
        if time < until
    }
    if late:
        await connection.execute(
            "INSERT INTO late_minutes (vps_id, time)"
            " SELECT * FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[])",
            arrays(sorted(late)),
        )
    return len(late)


def _mark(row: Row) -> Mark:
    return cast("Mark", (row[1], row[0]))  # as in rows.COLUMNS


async def take_late_minutes(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> list[Mark]:
    cursor = await connection.execute(
        "WITH taken AS (DELETE FROM late_minutes WHERE ctid = ANY (ARRAY("
        " SELECT ctid FROM late_minutes WHERE time < %(before)s LIMIT %(limit)s))"
        " RETURNING vps_id, time) SELECT DISTINCT vps_id, time FROM taken ORDER BY 1, 2",
        {"before": before, "limit": limit},
    )
    return await cursor.fetchall()


async def mark_buckets(connection: AsyncConnection, *, tier: str, marks: Sequence[Mark]) -> None:
    await connection.execute(
        "INSERT INTO late_buckets (tier, vps_id, time)"
        " SELECT %(tier)s, * FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[])",
        {**arrays(marks), "tier": tier},
    )


async def take_late_buckets(connection: AsyncConnection, *, tier: str, limit: int) -> list[Mark]:
    cursor = await connection.execute(
        "WITH taken AS (DELETE FROM late_buckets WHERE ctid = ANY (ARRAY("
        " SELECT ctid FROM late_buckets WHERE tier = %(tier)s LIMIT %(limit)s))"
        " RETURNING vps_id, time) SELECT DISTINCT vps_id, time FROM taken ORDER BY 1, 2",
        {"tier": tier, "limit": limit},
    )
    return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Chunk:
    name: str
    range_end: datetime


async def chunks_before(
    connection: AsyncConnection, *, table: str, before: datetime
) -> list[Chunk]:
    """Those that hold nothing of that time or later, oldest first."""
    async with connection.cursor(row_factory=class_row(Chunk)) as cursor:
        await cursor.execute(
            "SELECT chunk_name AS name, range_end FROM timescaledb_information.chunks"
            " WHERE hypertable_name = %s AND range_end <= %s ORDER BY range_end",
            [table, before],
        )
        return await cursor.fetchall()


async def hold_writers(connection: AsyncConnection) -> None:
    """Until the transaction ends nobody stores samples; who was at it has ended."""
    await connection.execute(
        "LOCK TABLE ONLY performance_metrics, ONLY late_minutes IN EXCLUSIVE MODE"
    )


async def has_late_minutes(connection: AsyncConnection, *, before: datetime) -> bool:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT EXISTS (SELECT FROM late_minutes WHERE time < %s)", [before])
        return bool(await cursor.fetchone())


async def drop_chunks(
    connection: AsyncConnection, *, tier: str, table: str, before: datetime
) -> None:
    """Drop what is wholly before, and say that it is gone."""
    await connection.execute("SELECT drop_chunks(%s::regclass, older_than => %s)", [table, before])
    await connection.execute(
        "UPDATE rollup_state SET complete_from = greatest(complete_from, %s) WHERE tier = %s",
        [before, tier],
    )
