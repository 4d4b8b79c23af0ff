"""Terminal sessions and their recordings. Functions never commit."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    vps_id: UUID
    user_id: UUID
    username: str
    container: str | None
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    exit_code: int | None
    viewers: int
    bytes: int
    recorded: bool
    duration_seconds: float


_SESSION = (
    "id, vps_id, user_id, username, container, started_at, ended_at, end_reason, exit_code,"
    " viewers, bytes, recorded,"
    " extract(epoch FROM coalesce(ended_at, now()) - started_at)::float8 AS duration_seconds"
)


async def get(connection: AsyncConnection, *, session_id: str) -> Session | None:
    async with connection.cursor(row_factory=class_row(Session)) as cursor:
        await cursor.execute(
            f"SELECT {_SESSION} FROM shell_sessions WHERE id = %(id)s", {"id": session_id}
        )
        return await cursor.fetchone()


async def page(
    connection: AsyncConnection,
    *,
    user_id: UUID | None,
    vps_id: UUID | None,
    limit: int,
    offset: int,
) -> tuple[list[Session], int]:
    """Those that run, then the newest, and how many there are.

    None is for everybody's, and for every server's.
    """
    where = (
        " FROM shell_sessions WHERE (%(user_id)s::uuid IS NULL OR user_id = %(user_id)s)"
        " AND (%(vps_id)s::uuid IS NULL OR vps_id = %(vps_id)s)"
    )
    parameters = {"user_id": user_id, "vps_id": vps_id, "limit": limit, "offset": offset}
    async with connection.cursor(row_factory=scalar_row) as counter:
        await counter.execute(f"SELECT count(*){where}", parameters)
        total: int = await counter.fetchone() or 0
    async with connection.cursor(row_factory=class_row(Session)) as cursor:
        await cursor.execute(
            f"SELECT {_SESSION}{where} ORDER BY ended_at IS NOT NULL, started_at DESC, id"
            " LIMIT %(limit)s OFFSET %(offset)s",
            parameters,
        )
        return await cursor.fetchall(), total


async def part(connection: AsyncConnection, *, session_id: str, part: int) -> bytes | None:
    """A recording's part: lines of asciicast v2, compressed by zlib."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT data FROM shell_recordings WHERE session_id = %(id)s AND part = %(part)s",
            {"id": session_id, "part": part},
        )
        data: bytes | None = await cursor.fetchone()
        return data
