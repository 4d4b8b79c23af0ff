"""SQL of custom series. Functions take the connection and never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

SERIES_LIMIT = 500  # per server

_REGISTER = """
INSERT INTO generic_series (vps_id, name, labels)
SELECT %(vps_id)s, %(name)s, %(labels)s
WHERE EXISTS (SELECT FROM vps WHERE id = %(vps_id)s)
    AND (SELECT count(*) FROM generic_series WHERE vps_id = %(vps_id)s) < %(limit)s
ON CONFLICT (vps_id, name, labels) DO NOTHING
"""
_INSERT = """
INSERT INTO generic_metrics (time, series_id, value)
SELECT %(time)s, id, %(value)s FROM generic_series
WHERE vps_id = %(vps_id)s AND name = %(name)s AND labels = %(labels)s
ON CONFLICT DO NOTHING
"""
_ENDED = """
SELECT id FROM generic_series s
WHERE created_at < %(before)s
    AND NOT EXISTS (SELECT FROM generic_metrics WHERE series_id = s.id)
LIMIT %(limit)s
"""

Key = tuple[UUID, str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Point:
    vps_id: UUID
    name: str
    labels: tuple[tuple[str, str], ...]  # sorted
    time: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Stored:
    """Numbers of points by outcome. Other points existed before."""

    new: int
    dropped: int  # points beyond the server's limit of series, or of a deleted server


async def insert_points(connection: AsyncConnection, points: Sequence[Point]) -> Stored:
    """Insert the points that do not exist yet, of series within the server's limit."""
    if not points:
        return Stored(0, 0)
    cursor = connection.cursor()
    series = sorted({(point.vps_id, point.name, point.labels) for point in points})
    await cursor.executemany(
        _REGISTER,
        [
            {"vps_id": vps, "name": name, "labels": Jsonb(dict(labels)), "limit": SERIES_LIMIT}
            for vps, name, labels in series
        ],
    )
    await cursor.executemany(
        _INSERT,
        [
            {
                "vps_id": point.vps_id,
                "name": point.name,
                "labels": Jsonb(dict(point.labels)),
                "time": point.time,
                "value": point.value,
            }
            for point in points
        ],
    )
    new = cursor.rowcount
    known = await _known(connection, series)
    return Stored(new, sum((p.vps_id, p.name, p.labels) not in known for p in points))


async def _known(connection: AsyncConnection, series: Sequence[Key]) -> set[Key]:
    """Return the given series that are registered."""
    cursor = await connection.execute(
        "SELECT n FROM unnest(%(vps)s::uuid[], %(names)s::text[], %(labels)s::jsonb[])"
        " WITH ORDINALITY AS s (vps_id, name, labels, n)"
        " JOIN generic_series USING (vps_id, name, labels)",
        {
            "vps": [vps for vps, _, _ in series],
            "names": [name for _, name, _ in series],
            "labels": [Jsonb(dict(labels)) for _, _, labels in series],
        },
    )
    return {series[number - 1] for (number,) in await cursor.fetchall()}


async def drop_old(connection: AsyncConnection, *, before: datetime, limit: int) -> bool:
    """Drop old chunks of points, then series without any points.

    Return True if there may be more to drop.
    """
    cursor = await connection.execute("SELECT drop_chunks_before('generic_metrics', %s)", [before])
    dropped: int = (await cursor.fetchone() or (0,))[0]
    cursor = await connection.execute(_ENDED, {"before": before, "limit": limit})
    ended = [series for (series,) in await cursor.fetchall()]
    if not ended:
        return dropped > 0
    # The lock waits for transactions that are storing points of these series. Later transactions
    # register the series again.
    await connection.execute("LOCK TABLE generic_series IN SHARE ROW EXCLUSIVE MODE")
    await connection.execute(
        "DELETE FROM generic_series s WHERE id = ANY (%s)"
        " AND NOT EXISTS (SELECT FROM generic_metrics WHERE series_id = s.id)",
        [ended],
    )
    return dropped > 0 or len(ended) == limit
