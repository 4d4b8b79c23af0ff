"""Metrics over time. Functions never commit."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from services.kit.sample import METRICS

# Names come from the table of metrics, never from a request.
_AGGREGATES = sql.SQL(", ").join(
    [
        sql.SQL(
            "max({name}) AS {name}" if metric.counter else "avg({name})::float4 AS {name}"
        ).format(name=sql.Identifier(metric.name))
        for metric in METRICS
    ]
)
_BUCKETS = sql.SQL(
    "SELECT time_bucket(%(width)s, time) AS bucket, {aggregates} FROM performance_metrics"
    " WHERE vps_id = %(vps_id)s AND time >= %(start)s AND time < %(end)s"
    " GROUP BY bucket ORDER BY bucket LIMIT %(limit)s"
).format(aggregates=_AGGREGATES)
_LATEST = sql.SQL(
    "SELECT m.time, m.vps_id::text, {names}, m.clock_corrected, m.detail FROM vps"
    " CROSS JOIN LATERAL (SELECT * FROM performance_metrics p WHERE p.vps_id = vps.id"
    " AND p.time > now() - interval '7 days' ORDER BY p.time DESC LIMIT 1) m"
).format(
    names=sql.SQL(", ").join([sql.Identifier("m", metric.name) for metric in METRICS]),
)


async def buckets(
    connection: AsyncConnection,
    *,
    vps_id: UUID,
    start: datetime,
    end: datetime,
    width: timedelta,
    limit: int,
) -> list[tuple[Any, ...]]:
    """Time and every metric of `METRICS`, a row for each bucket that has data."""
    cursor = await connection.execute(
        _BUCKETS,
        {"vps_id": vps_id, "start": start, "end": end, "width": width, "limit": limit},
    )
    return await cursor.fetchall()


async def latest(connection: AsyncConnection) -> list[dict[str, Any]]:
    """The newest row of every server that was heard of in the last week."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_LATEST)
        return await cursor.fetchall()
