"""Queries for the users of the platform. Functions never commit."""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from services.gateway.api import pagination
from services.kit.access import Role


@dataclass(frozen=True, slots=True)
class User:
    id: UUID
    username: str
    email: str | None
    role: str
    enabled: bool
    created_at: datetime
    last_login_at: datetime | None
    organisations: list[str]


_USER: LiteralString = (
    "id, username, email, role, enabled, created_at,"
    " (SELECT max(s.created_at) FROM sessions s WHERE s.user_id = users.id) AS last_login_at,"
    " ARRAY(SELECT o.name FROM memberships m JOIN organisations o ON o.id = m.organisation_id"
    "  WHERE m.user_id = users.id ORDER BY o.name) AS organisations"
)


async def page(
    connection: AsyncConnection, *, search: str, limit: int, offset: int
) -> tuple[list[User], int]:
    """Return users ordered by name, and how many there are."""
    return await pagination.page(
        connection,
        User,
        columns=_USER,
        source="FROM users WHERE (%(search)s = ''"
        " OR strpos(lower(username || ' ' || coalesce(email, '')), lower(%(search)s)) > 0)",
        order="username",
        parameters={"search": search},
        limit=limit,
        offset=offset,
    )


async def get(connection: AsyncConnection, *, user_id: UUID) -> User | None:
    async with connection.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(f"SELECT {_USER} FROM users WHERE id = %(id)s", {"id": user_id})
        return await cursor.fetchone()


async def lock_administrators(connection: AsyncConnection) -> set[UUID]:
    """Return the administrators that are enabled. Their rows stay locked, so that one stays."""
    cursor = await connection.execute(
        "SELECT id FROM users WHERE role = 'admin' AND enabled ORDER BY id FOR UPDATE"
    )
    return {user_id for (user_id,) in await cursor.fetchall()}


async def update(
    connection: AsyncConnection, *, user_id: UUID, enabled: bool | None, role: Role | None
) -> None:
    """Change the values that are not None, and end the login sessions of the user."""
    await connection.execute(
        "UPDATE users SET enabled = coalesce(%(enabled)s, enabled),"
        " role = coalesce(%(role)s, role), updated_at = now() WHERE id = %(id)s",
        {"id": user_id, "enabled": enabled, "role": role},
    )
    await connection.execute("DELETE FROM sessions WHERE user_id = %(id)s", {"id": user_id})


async def sole_ownerships(connection: AsyncConnection, *, user_id: UUID) -> list[str]:
    """Return the names of the organisations with servers that have no other owner."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT o.name FROM memberships m JOIN organisations o ON o.id = m.organisation_id"
            " WHERE m.user_id = %(id)s AND m.role = 'owner' AND NOT EXISTS ("
            "  SELECT FROM memberships other WHERE other.organisation_id = o.id"
            "  AND other.role = 'owner' AND other.user_id <> m.user_id)"
            " AND EXISTS (SELECT FROM vps WHERE vps.organisation_id = o.id) ORDER BY o.name",
            {"id": user_id},
        )
        return await cursor.fetchall()


async def delete(connection: AsyncConnection, *, user_id: UUID) -> None:
    """Delete a user, and the organisations that have no member and no server without the user."""
    await connection.execute("DELETE FROM users WHERE id = %(id)s", {"id": user_id})
    await connection.execute(
        "DELETE FROM organisations o WHERE NOT EXISTS (SELECT FROM memberships m"
        " WHERE m.organisation_id = o.id)"
        " AND NOT EXISTS (SELECT FROM vps WHERE vps.organisation_id = o.id)"
    )
