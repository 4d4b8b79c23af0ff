"""SQL of the rollup tiers. Functions take the connection and never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import LiteralString, cast
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import class_row, scalar_row

from services.ingest.store import rollup_columns
from services.ingest.store.rows import Row
from services.kit.metrics.tiers import MINUTE, RAW_TABLE, Tier, TierState

# Keys of pg_advisory_xact_lock. The instance that rolls up holds LEAD_LOCK.
LEAD_LOCK = 0x726F6C6C
# Held shared by transactions that store samples, and exclusively by the one that moves the
# boundary of the raw tier. `looked_at_until()` of migration 0004 contains the same number.
BOUNDARY_LOCK = 0x7365616C

BucketKey = tuple[UUID, datetime]
"""Server and start time of a bucket."""


async def acquire_lead(connection: AsyncConnection, *, seconds: int) -> bool:
    """Return True if this transaction may roll up, False if another instance is doing so.

    From here on, each statement of the transaction may take `seconds` and may wait for a lock for two
    seconds.
    """
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT pg_try_advisory_xact_lock(%s) FROM (SELECT"
            " set_config('statement_timeout', %s, true), set_config('lock_timeout', '2s', true)) s",
            [LEAD_LOCK, f"{seconds}s"],
        )
        return bool(await cursor.fetchone())


async def states(connection: AsyncConnection) -> dict[str, TierState]:
    """Return the state of each tier, by the tier's name."""
    cursor = await connection.execute("SELECT tier, rolled_until, complete_from FROM rollup_state")
    return {tier: TierState(rolled, complete) for tier, rolled, complete in await cursor.fetchall()}


async def force_index_joins(connection: AsyncConnection) -> None:
    """Disable hash and merge joins for this transaction.

    It reads few rows of large tables, and the planner overestimates how many.
    """
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


async def first_chunk_start(
    connection: AsyncConnection, *, table: str, after: datetime
) -> datetime | None:
    """Return the start of the hypertable's first chunk that reaches beyond `after`, if any."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT min(range_start) FROM timescaledb_information.chunks"
            " WHERE hypertable_name = %s AND range_end > %s",
            [table, after],
        )
        return await cursor.fetchone()


async def lock_boundary(connection: AsyncConnection) -> None:
    """Make transactions that store samples wait until this one has ended.

    They then see the boundary that this transaction commits.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [BOUNDARY_LOCK])


async def set_rolled(connection: AsyncConnection, *, tier: str, until: datetime) -> None:
    await connection.execute(
        "UPDATE rollup_state SET rolled_until = %s WHERE tier = %s", [until, tier]
    )


_INSERT = "INSERT INTO {table} AS t (vps_id, time, {columns})\n"
_REPLACE = "ON CONFLICT (vps_id, time) DO UPDATE SET {replaced}"
_MERGE = "ON CONFLICT (vps_id, time) DO UPDATE SET {merged}"

# All buckets of a window. They are read with one index scan per server, because there is no index on
# time alone, and the samples of the last minutes are in memory.
_WINDOW = """
SELECT vps.id, r.*
FROM vps
CROSS JOIN LATERAL (
    SELECT time_bucket(%(width)s, p.time) AS bucket, {aggregates}
    FROM (
        SELECT {source_columns} FROM {source} s
        WHERE s.vps_id = vps.id AND s.time >= %(since)s AND s.time < %(until)s
        WINDOW w AS (PARTITION BY time_bucket(%(width)s, s.time) ORDER BY s.time)
    ) p
    GROUP BY 1
) r
"""

# The given buckets, computed from all their data. Deleted servers are left out.
_BUCKETS = """
SELECT b.vps_id, b.time, r.*
FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[]) AS b (vps_id, time)
JOIN vps ON vps.id = b.vps_id
CROSS JOIN LATERAL (
    SELECT {aggregates}
    FROM (
        SELECT {source_columns} FROM {source} s
        WHERE s.vps_id = b.vps_id AND s.time >= b.time AND s.time < b.time + %(width)s
        WINDOW w AS (PARTITION BY time_bucket(%(width)s, s.time) ORDER BY s.time)
    ) p
    HAVING count(*) > 0
) r
"""

# Late samples `p` of the given minutes `b`, without the samples that are already counted.
# The minute's other samples have been dropped, but its bits in `seconds` show which it had.
UNCOUNTED_SAMPLES: LiteralString = (
    """
FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[]) AS b (vps_id, time)
JOIN vps ON vps.id = b.vps_id
CROSS JOIN LATERAL (
    SELECT * FROM performance_metrics s
    WHERE s.vps_id = b.vps_id AND s.time >= b.time AND s.time < b.time + interval '1 minute'
    OFFSET 0 -- keeps the planner from pulling the subquery up
) p
LEFT JOIN performance_1m k ON k.vps_id = b.vps_id AND k.time = b.time
WHERE (k.seconds IS NULL OR (k.seconds >> """
    + rollup_columns.SECOND
    + ") & 1 = 0)\n"
)


@cache
def _statement(tier: Tier, template: LiteralString) -> sql.Composed:
    return sql.SQL(template).format(
        table=sql.Identifier(tier.table),
        source=sql.Identifier(RAW_TABLE if tier is MINUTE else MINUTE.table),
        source_columns=rollup_columns.source_columns(tier),
        columns=sql.SQL(", ").join(map(sql.Identifier, rollup_columns.columns(tier))),
        aggregates=rollup_columns.aggregates(tier),
        replaced=rollup_columns.replaced(tier),
        merged=rollup_columns.merged(),
    )


async def roll(connection: AsyncConnection, *, tier: Tier, since: datetime, until: datetime) -> int:
    """Create or replace every server's buckets of the window; return their number."""
    cursor = await connection.execute(
        _statement(tier, _INSERT + _WINDOW + _REPLACE),
        {"width": tier.width, "since": since, "until": until},
    )
    return cursor.rowcount


async def rebuild(connection: AsyncConnection, *, tier: Tier, buckets: Sequence[BucketKey]) -> int:
    """Create or replace the given buckets from all their data; return their number."""
    cursor = await connection.execute(
        _statement(tier, _INSERT + _BUCKETS + _REPLACE),
        {**bucket_arrays(buckets), "width": tier.width},
    )
    return cursor.rowcount


async def merge_minutes(connection: AsyncConnection, *, minutes: Sequence[BucketKey]) -> int:
    """Add late samples to minutes whose other samples have been dropped, each sample once."""
    merge = "SELECT b.vps_id, b.time, {aggregates}" + UNCOUNTED_SAMPLES + "GROUP BY 1, 2\n" + _MERGE
    cursor = await connection.execute(_statement(MINUTE, _INSERT + merge), bucket_arrays(minutes))
    return cursor.rowcount


def bucket_arrays(buckets: Sequence[BucketKey]) -> dict[str, list[UUID] | list[datetime]]:
    """Return the parameters `vps` and `times` for `unnest`."""
    return {"vps": [vps for vps, _ in buckets], "times": [time for _, time in buckets]}


async def record_late_minutes(connection: AsyncConnection, *, rows: Sequence[Row]) -> int:
    """Record the minutes of samples that are older than the boundary; return their number.

    Must be called in the transaction that stores the samples.
    """
    async with connection.cursor(row_factory=scalar_row) as cursor:
        # Locks the boundary until this transaction ends.
        await cursor.execute("SELECT looked_at_until()")
        boundary: datetime | None = await cursor.fetchone()
    assert boundary is not None
    late = {
        (vps, time.replace(second=0, microsecond=0))
        for vps, time in map(_server_and_time, rows)
        if time < boundary
    }
    if late:
        await connection.execute(
            "INSERT INTO late_minutes (vps_id, time)"
            " SELECT * FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[])",
            bucket_arrays(sorted(late)),
        )
    return len(late)


def _server_and_time(row: Row) -> tuple[UUID, datetime]:
    return cast("tuple[UUID, datetime]", (row[1], row[0]))  # in the order of rows.COLUMNS


async def pop_late_minutes(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> list[BucketKey]:
    """Delete and return late minutes, at most `limit` rows."""
    cursor = await connection.execute(
        "WITH popped AS (DELETE FROM late_minutes WHERE ctid = ANY (ARRAY("
        " SELECT ctid FROM late_minutes WHERE time < %(before)s LIMIT %(limit)s))"
        " RETURNING vps_id, time) SELECT DISTINCT vps_id, time FROM popped ORDER BY 1, 2",
        {"before": before, "limit": limit},
    )
    return await cursor.fetchall()


async def record_late_buckets(
    connection: AsyncConnection, *, tier: str, buckets: Sequence[BucketKey]
) -> None:
    """Record buckets of a coarse tier that have to be rebuilt."""
    await connection.execute(
        "INSERT INTO late_buckets (tier, vps_id, time)"
        " SELECT %(tier)s, * FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[])",
        {**bucket_arrays(buckets), "tier": tier},
    )


async def pop_late_buckets(
    connection: AsyncConnection, *, tier: str, limit: int
) -> list[BucketKey]:
    """Delete and return late buckets of a coarse tier, at most `limit` rows."""
    cursor = await connection.execute(
        "WITH popped AS (DELETE FROM late_buckets WHERE ctid = ANY (ARRAY("
        " SELECT ctid FROM late_buckets WHERE tier = %(tier)s LIMIT %(limit)s))"
        " RETURNING vps_id, time) SELECT DISTINCT vps_id, time FROM popped ORDER BY 1, 2",
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
    """Return the chunks whose data is older than `before`, oldest first."""
    async with connection.cursor(row_factory=class_row(Chunk)) as cursor:
        await cursor.execute(
            "SELECT chunk_name AS name, range_end FROM timescaledb_information.chunks"
            " WHERE hypertable_name = %s AND range_end <= %s ORDER BY range_end",
            [table, before],
        )
        return await cursor.fetchall()


async def lock_out_writers(connection: AsyncConnection) -> None:
    """Wait for the transactions that store samples; block new ones until this one ends."""
    await connection.execute("SELECT lock_out_writers()")


async def has_late_minutes(connection: AsyncConnection, *, before: datetime) -> bool:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT EXISTS (SELECT FROM late_minutes WHERE time < %s)", [before])
        return bool(await cursor.fetchone())


async def drop_chunks(
    connection: AsyncConnection, *, tier: str, table: str, before: datetime
) -> None:
    """Drop the chunks that end by `before`, and record the time from which the tier is complete."""
    await connection.execute("SELECT drop_chunks_before(%s::regclass, %s)", [table, before])
    await connection.execute(
        "UPDATE rollup_state SET complete_from = greatest(complete_from, %s) WHERE tier = %s",
        [before, tier],
    )
