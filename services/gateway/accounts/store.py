"""Queries for users, login sessions, failed log-ins and tickets. Functions never commit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from services.kit.access import Role


@dataclass(frozen=True, slots=True)
class User:
    id: UUID
    username: str
    email: str | None
    role: str
    enabled: bool
    password_hash: str
    created_at: datetime
    organisations: list[dict[str, str]]
    """Id, name and the user's role of each organisation, by name."""
    preferences: dict[str, Any]
    """The preferences that the user chose."""


USER_COLUMNS: LiteralString = (
    "users.id, username, email, role, enabled, password_hash, users.created_at, preferences,"
    " coalesce((SELECT jsonb_agg(jsonb_build_object('id', o.id, 'name', o.name, 'role', m.role)"
    "   ORDER BY o.name, o.id) FROM memberships m JOIN organisations o ON o.id = m.organisation_id"
    "  WHERE m.user_id = users.id), '[]') AS organisations"
)


async def user_by_name(connection: AsyncConnection, *, username: str) -> User | None:
    async with connection.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(
            f"SELECT {USER_COLUMNS} FROM users WHERE username = %(username)s",
            {"username": username},
        )
        return await cursor.fetchone()


async def user_of_session(
    connection: AsyncConnection, *, session_id: UUID, user_id: UUID
) -> User | None:
    """Return the user if the login session is valid and the account is enabled."""
    async with connection.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(
            f"SELECT {USER_COLUMNS} FROM users WHERE id = %(user_id)s AND enabled"
            " AND EXISTS (SELECT FROM sessions WHERE id = %(session_id)s"
            " AND user_id = %(user_id)s AND expires_at > now())",
            {"session_id": session_id, "user_id": user_id},
        )
        return await cursor.fetchone()


async def insert_user(
    connection: AsyncConnection, *, username: str, password_hash: str, role: Role, email: str = ""
) -> UUID | None:
    """Add a user without an organisation and return its id; None if the name is already in use."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "INSERT INTO users (username, password_hash, role, email)"
            " VALUES (%(username)s, %(password_hash)s, %(role)s, nullif(%(email)s, ''))"
            " ON CONFLICT (username) DO NOTHING RETURNING id",
            {"username": username, "password_hash": password_hash, "role": role, "email": email},
        )
        user_id: UUID | None = await cursor.fetchone()
        return user_id


async def update_preferences(
    connection: AsyncConnection, *, user_id: UUID, changes: dict[str, Any]
) -> dict[str, Any] | None:
    """Merge changes into a user's preferences, where None removes one, and return them all.

    The result is None if the user does not exist.
    """
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "UPDATE users SET preferences = jsonb_strip_nulls(preferences || %(changes)s)"
            " WHERE id = %(user_id)s RETURNING preferences",
            {"user_id": user_id, "changes": Jsonb(changes)},
        )
        preferences: dict[str, Any] | None = await cursor.fetchone()
        return preferences


async def insert_organisation(connection: AsyncConnection, *, name: str, owner_id: UUID) -> UUID:
    """Add an organisation with its owner and the default alert rules, and return its id."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "WITH added AS (INSERT INTO organisations (name) VALUES (%(name)s) RETURNING id)"
            " INSERT INTO memberships (organisation_id, user_id, role)"
            " SELECT id, %(owner_id)s, 'owner' FROM added RETURNING organisation_id",
            {"name": name, "owner_id": owner_id},
        )
        organisation_id: UUID | None = await cursor.fetchone()
    assert organisation_id is not None
    await connection.execute(
        "INSERT INTO alert_rules (organisation_id, user_id, name, metric_type, comparison_operator,"
        " threshold, duration_seconds, server_ids, tags, all_servers, severity, enabled)"
        " SELECT %(id)s, %(owner_id)s, name, metric_type, comparison_operator, threshold,"
        " duration_seconds, '{}', '{}', true, severity, true FROM default_alert_rules",
        {"id": organisation_id, "owner_id": owner_id},
    )
    return organisation_id


async def set_password(connection: AsyncConnection, *, user_id: UUID, password_hash: str) -> None:
    await connection.execute(
        "UPDATE users SET password_hash = %(hash)s, updated_at = now() WHERE id = %(id)s",
        {"id": user_id, "hash": password_hash},
    )


async def count_attempt(
    connection: AsyncConnection, *, keys: list[str], window: timedelta
) -> dict[str, tuple[int, float]]:
    """Count this attempt; return for each key the attempts and the seconds until they expire.

    The rows stay locked, so concurrent requests cannot exceed a limit. A caller that refuses the
    attempt rolls the transaction back, so that only attempts whose password is checked count.
    """
    await connection.execute("DELETE FROM login_failures WHERE expires_at < now()")
    cursor = await connection.execute(
        "INSERT INTO login_failures AS f (key, failures, expires_at)"
        " SELECT key, 1, now() + %(window)s FROM unnest(%(keys)s::text[]) AS key ORDER BY key"
        " ON CONFLICT (key) DO UPDATE SET failures = f.failures + 1"
        " RETURNING key, failures, extract(epoch FROM expires_at - now())::float8",
        {"keys": keys, "window": window},
    )
    return {key: (count, left) for key, count, left in await cursor.fetchall()}


async def take_back_attempt(connection: AsyncConnection, *, keys: list[str]) -> None:
    """Subtract one attempt from all counters: its password was right, or was not checked."""
    await connection.execute(
        "UPDATE login_failures SET failures = failures - 1"
        " WHERE key IN (SELECT key FROM login_failures WHERE key = ANY(%(keys)s)"
        " ORDER BY key FOR UPDATE)",
        {"keys": keys},
    )


async def clear_attempts(connection: AsyncConnection, *, key: str) -> None:
    await connection.execute("DELETE FROM login_failures WHERE key = %(key)s", {"key": key})


async def count_tickets(connection: AsyncConnection, *, user_id: UUID) -> int:
    """Return the number of valid tickets of a user; delete everybody's expired ones."""
    await connection.execute("DELETE FROM ws_tickets WHERE expires_at < now()")
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT count(*) FROM ws_tickets WHERE user_id = %s", [user_id])
        number: int = await cursor.fetchone() or 0
        return number


async def insert_ticket(
    connection: AsyncConnection,
    *,
    secret_hash: bytes,
    user_id: UUID,
    session_id: UUID,
    resource: str,
    lifetime: timedelta,
) -> datetime:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "INSERT INTO ws_tickets (secret_hash, user_id, session_id, resource, expires_at)"
            " VALUES (%(secret_hash)s, %(user_id)s, %(session_id)s, %(resource)s,"
            " now() + %(lifetime)s) RETURNING expires_at",
            {
                "secret_hash": secret_hash,
                "user_id": user_id,
                "session_id": session_id,
                "resource": resource,
                "lifetime": lifetime,
            },
        )
        expires_at: datetime | None = await cursor.fetchone()
        assert expires_at is not None
        return expires_at


async def take_ticket(
    connection: AsyncConnection, *, secret_hash: bytes, resource: str
) -> tuple[UUID, UUID] | None:
    """Use up a ticket for `resource`; return the ids of its session and user."""
    cursor = await connection.execute(
        "DELETE FROM ws_tickets WHERE secret_hash = %(secret_hash)s"
        " AND resource = %(resource)s AND expires_at > now() RETURNING session_id, user_id",
        {"secret_hash": secret_hash, "resource": resource},
    )
    return await cursor.fetchone()


async def find_ticket(
    connection: AsyncConnection, *, secret_hash: bytes, resource: str
) -> tuple[UUID, UUID] | None:
    """Return the ids of the session and user of a ticket. The ticket stays valid."""
    cursor = await connection.execute(
        "SELECT session_id, user_id FROM ws_tickets WHERE secret_hash = %(secret_hash)s"
        " AND resource = %(resource)s AND expires_at > now()",
        {"secret_hash": secret_hash, "resource": resource},
    )
    return await cursor.fetchone()
