"""Queries for login sessions. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row


@dataclass(frozen=True, slots=True)
class LoginSession:
    """A login session as its user sees it."""

    id: UUID
    user_agent: str
    address: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Renewal:
    """A login session, found by the secret of its cookie."""

    session_id: UUID
    user_id: UUID
    is_current: bool
    """False for the secret before the current one."""
    age: timedelta
    """Time since the current secret was made."""


async def insert(
    connection: AsyncConnection,
    *,
    user_id: UUID,
    secret_hash: bytes,
    lifetime: timedelta,
    most: int,
    user_agent: str,
    address: str,
) -> UUID:
    """Add a login session, and end the user's oldest ones so that at most `most` are left."""
    # Expired sessions are deleted when a new one is added.
    await connection.execute("DELETE FROM sessions WHERE expires_at < now()")
    await connection.execute(
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE user_id = %(user_id)s"
        " ORDER BY expires_at DESC, id OFFSET %(left)s)",
        {"user_id": user_id, "left": most - 1},
    )
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "INSERT INTO sessions (user_id, secret_hash, expires_at, user_agent, address)"
            " VALUES (%(user_id)s, %(secret_hash)s, now() + %(lifetime)s, %(user_agent)s,"
            " %(address)s) RETURNING id",
            {
                "user_id": user_id,
                "secret_hash": secret_hash,
                "lifetime": lifetime,
                "user_agent": user_agent,
                "address": address,
            },
        )
        session_id: UUID | None = await cursor.fetchone()
        assert session_id is not None
        return session_id


async def by_secret(connection: AsyncConnection, *, secret_hash: bytes) -> Renewal | None:
    """Return the valid session with this secret, or with this one before the current one."""
    async with connection.cursor(row_factory=class_row(Renewal)) as cursor:
        await cursor.execute(
            "SELECT id AS session_id, user_id, secret_hash = %(hash)s AS is_current,"
            " now() - rotated_at AS age FROM sessions"
            " WHERE (secret_hash = %(hash)s OR previous_hash = %(hash)s) AND expires_at > now()"
            " FOR UPDATE",
            {"hash": secret_hash},
        )
        return await cursor.fetchone()


async def rotate(
    connection: AsyncConnection, *, session_id: UUID, secret_hash: bytes, address: str
) -> None:
    """Replace the secret of a session; the old one is kept as the one before."""
    await connection.execute(
        "UPDATE sessions SET previous_hash = secret_hash, secret_hash = %(hash)s,"
        " rotated_at = now(), used_at = now(), address = %(address)s WHERE id = %(id)s",
        {"id": session_id, "hash": secret_hash, "address": address},
    )


async def of_user(connection: AsyncConnection, *, user_id: UUID) -> Sequence[LoginSession]:
    """Return the valid sessions of a user, the one used last first."""
    async with connection.cursor(row_factory=class_row(LoginSession)) as cursor:
        await cursor.execute(
            "SELECT id, user_agent, address, created_at, used_at, expires_at FROM sessions"
            " WHERE user_id = %(user_id)s AND expires_at > now() ORDER BY used_at DESC, id",
            {"user_id": user_id},
        )
        return await cursor.fetchall()


async def delete(
    connection: AsyncConnection,
    *,
    user_id: UUID,
    session_id: UUID | None = None,
    keep: UUID | None = None,
) -> int:
    """End one session of a user, or all but `keep`; return the number of ended ones."""
    cursor = await connection.execute(
        "DELETE FROM sessions WHERE user_id = %(user_id)s"
        " AND (%(session_id)s::uuid IS NULL OR id = %(session_id)s)"
        " AND (%(keep)s::uuid IS NULL OR id <> %(keep)s)",
        {"user_id": user_id, "session_id": session_id, "keep": keep},
    )
    return cursor.rowcount


async def delete_by_secret(connection: AsyncConnection, *, secret_hash: bytes) -> None:
    await connection.execute(
        "DELETE FROM sessions WHERE secret_hash = %(hash)s OR previous_hash = %(hash)s",
        {"hash": secret_hash},
    )
