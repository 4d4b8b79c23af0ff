"""Queries for shares of servers. Functions never commit."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from services.kit.access import OrganisationRole


@dataclass(frozen=True, slots=True)
class Share:
    user_id: UUID
    username: str
    level: str
    created_at: datetime
    expires_at: datetime | None


async def of_server(connection: AsyncConnection, *, vps_id: UUID) -> list[Share]:
    """Return the valid shares of a server, by user name."""
    async with connection.cursor(row_factory=class_row(Share)) as cursor:
        await cursor.execute(
            "SELECT user_id, username, level, s.created_at, expires_at FROM server_shares s"
            " JOIN users ON users.id = s.user_id WHERE vps_id = %(id)s"
            " AND (expires_at IS NULL OR expires_at > now()) ORDER BY username",
            {"id": vps_id},
        )
        return await cursor.fetchall()


async def put(
    connection: AsyncConnection,
    *,
    vps_id: UUID,
    username: str,
    level: OrganisationRole,
    expires_at: datetime | None,
) -> UUID | None:
    """Share a server with a user and return the user's id; None if there is no such user."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "INSERT INTO server_shares (vps_id, user_id, level, expires_at)"
            " SELECT %(vps_id)s, id, %(level)s, %(expires_at)s FROM users"
            " WHERE username = %(username)s AND enabled"
            " ON CONFLICT (vps_id, user_id) DO UPDATE SET level = excluded.level,"
            " expires_at = excluded.expires_at, created_at = now() RETURNING user_id",
            {"vps_id": vps_id, "username": username, "level": level, "expires_at": expires_at},
        )
        user_id: UUID | None = await cursor.fetchone()
        return user_id


async def delete(connection: AsyncConnection, *, vps_id: UUID, user_id: UUID) -> bool:
    """End a share; return False if there is none."""
    cursor = await connection.execute(
        "DELETE FROM server_shares WHERE vps_id = %(vps_id)s AND user_id = %(user_id)s",
        {"vps_id": vps_id, "user_id": user_id},
    )
    return cursor.rowcount > 0
