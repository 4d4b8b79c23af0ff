"""What the samples say of each mount. Functions never commit."""

from datetime import datetime, timedelta
from uuid import UUID

from psycopg import AsyncConnection


async def parts(
    connection: AsyncConnection,
    *,
    vps_id: UUID,
    start: datetime,
    end: datetime,
    width: timedelta,
    limit: int,
) -> list[tuple[datetime, bytes]]:
    """Of each `width` its start and the parts of its newest sample that has any, oldest first."""
    cursor = await connection.execute(
        "SELECT time_bucket(%(width)s, time) AS bucket, last(detail, time)"
        " FROM performance_metrics WHERE vps_id = %(vps_id)s AND time >= %(start)s"
        " AND time < %(end)s AND detail IS NOT NULL GROUP BY bucket ORDER BY bucket LIMIT %(limit)s",
        {"vps_id": vps_id, "start": start, "end": end, "width": width, "limit": limit},
    )
    return await cursor.fetchall()
