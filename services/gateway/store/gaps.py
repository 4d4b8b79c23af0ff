"""What agents had to give up. Functions never commit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class Gap:
    kind: Literal["performance", "docker", "generic"]
    reason: Literal["space", "age", "memory", "refused", "damaged"]
    count: int
    first_at: datetime
    last_at: datetime


async def between(
    connection: AsyncConnection, *, vps_id: UUID, start: datetime, end: datetime, limit: int
) -> list[Gap]:
    """Gaps that touch the window, oldest first."""
    async with connection.cursor(row_factory=class_row(Gap)) as cursor:
        await cursor.execute(
            "SELECT kind, reason, count, first_at, last_at FROM gaps"
            " WHERE vps_id = %(vps_id)s AND last_at >= %(start)s AND first_at < %(end)s"
            " ORDER BY first_at LIMIT %(limit)s",
            {"vps_id": vps_id, "start": start, "end": end, "limit": limit},
        )
        return await cursor.fetchall()
