"""The owner's own series. Functions never commit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

# Not `avg`, which squares: it fails from 1e154 on. Sums of what lies within these do not.
_AVERAGE = "sum(least(greatest(value, '-1e300'), '1e300'))::float8 / count(*)"


@dataclass(frozen=True, slots=True)
class Series:
    """A series, and its newest point where it has one."""

    id: int
    name: str
    labels: dict[str, str]
    last_time: datetime | None
    last_value: float | None


@dataclass(frozen=True, slots=True)
class Bucket:
    time: datetime
    value: float
    min: float
    max: float


async def listed(connection: AsyncConnection, *, vps_id: UUID, limit: int) -> list[Series]:
    """A server's, those that were heard of last first."""
    async with connection.cursor(row_factory=class_row(Series)) as cursor:
        await cursor.execute(
            "SELECT s.id, s.name, s.labels, m.time AS last_time, m.value AS last_value"
            " FROM generic_series s LEFT JOIN LATERAL (SELECT time, value FROM generic_metrics"
            " WHERE series_id = s.id ORDER BY time DESC LIMIT 1) m ON true"
            " WHERE s.vps_id = %(vps_id)s"
            " ORDER BY m.time DESC NULLS LAST, s.name, s.labels LIMIT %(limit)s",
            {"vps_id": vps_id, "limit": limit},
        )
        return await cursor.fetchall()


async def belongs(connection: AsyncConnection, *, vps_id: UUID, series_id: int) -> bool:
    """Whether the server has such a series."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT EXISTS (SELECT FROM generic_series"
            " WHERE id = %(series_id)s AND vps_id = %(vps_id)s)",
            {"series_id": series_id, "vps_id": vps_id},
        )
        return bool(await cursor.fetchone())


async def buckets(
    connection: AsyncConnection,
    *,
    series_id: int,
    start: datetime,
    end: datetime,
    width: timedelta,
    limit: int,
) -> list[Bucket]:
    """Averages over `width` and their extremes, oldest first."""
    async with connection.cursor(row_factory=class_row(Bucket)) as cursor:
        await cursor.execute(
            f"SELECT time_bucket(%(width)s, time) AS time, {_AVERAGE} AS value,"
            " min(value) AS min, max(value) AS max FROM generic_metrics"
            " WHERE series_id = %(series_id)s AND time >= %(start)s AND time < %(end)s"
            " GROUP BY 1 ORDER BY 1 LIMIT %(limit)s",
            {"series_id": series_id, "start": start, "end": end, "width": width, "limit": limit},
        )
        return await cursor.fetchall()
