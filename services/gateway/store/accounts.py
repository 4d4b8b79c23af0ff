"""Users, sessions, login failures and WebSocket tickets. Functions never commit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

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


_USER = "id, username, email, role, enabled, password_hash, created_at"


async def user_by_name(connection: AsyncConnection, *, username: str) -> User | None:
    async with connection.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(
            f"SELECT {_USER} FROM users WHERE username = %(username)s",
            {"username": username},
        )
        return await cursor.fetchone()


async def user_of_session(
    connection: AsyncConnection, *, session_id: UUID, user_id: UUID
) -> User | None:
    """The user, while both the session and the account are good."""
    async with connection.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(
            f"SELECT {_USER} FROM users WHERE id = %(user_id)s AND enabled"
            " AND EXISTS (SELECT FROM sessions WHERE id = %(session_id)s"
            " AND user_id = %(user_id)s AND expires_at > now())",
            {"session_id": session_id, "user_id": user_id},
        )
        return await cursor.fetchone()


async def insert_user(
    connection: AsyncConnection, *, username: str, password_hash: str, role: Role
) -> UUID | None:
    """None when the name is taken."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "INSERT INTO users (username, password_hash, role)"
            " VALUES (%(username)s, %(password_hash)s, %(role)s)"
            " ON CONFLICT (username) DO NOTHING RETURNING id",
            {"username": username, "password_hash": password_hash, "role": role},
        )
        user_id: UUID | None = await cursor.fetchone()
        return user_id


async def insert_session(
    connection: AsyncConnection, *, user_id: UUID, secret_hash: bytes, lifetime: timedelta
) -> UUID:
    # Those that ran out go when a new one comes.
    await connection.execute("DELETE FROM sessions WHERE expires_at < now()")
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "INSERT INTO sessions (user_id, secret_hash, expires_at)"
            " VALUES (%(user_id)s, %(secret_hash)s, now() + %(lifetime)s) RETURNING id",
            {"user_id": user_id, "secret_hash": secret_hash, "lifetime": lifetime},
        )
        session_id: UUID | None = await cursor.fetchone()
        assert session_id is not None
        return session_id


async def session_by_secret(
    connection: AsyncConnection, *, secret_hash: bytes
) -> tuple[UUID, UUID] | None:
    """Session and user id."""
    cursor = await connection.execute(
        "SELECT id, user_id FROM sessions"
        " WHERE secret_hash = %(secret_hash)s AND expires_at > now()",
        {"secret_hash": secret_hash},
    )
    return await cursor.fetchone()


async def delete_session(connection: AsyncConnection, *, secret_hash: bytes) -> None:
    await connection.execute(
        "DELETE FROM sessions WHERE secret_hash = %(secret_hash)s", {"secret_hash": secret_hash}
    )


async def count_attempt(
    connection: AsyncConnection, *, keys: list[str], window: timedelta
) -> dict[str, tuple[int, float]]:
    """Attempts by key with this one, and the seconds until they are forgotten.

    Counted before the password is looked at, so that many at once do not pass together.
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


async def forgive_attempt(connection: AsyncConnection, *, keys: list[str], wholly: str) -> None:
    """After the right password: this attempt was no failure, and `wholly` starts anew."""
    await connection.execute(
        "UPDATE login_failures SET failures = failures - 1"
        " WHERE key IN (SELECT key FROM login_failures WHERE key = ANY(%(keys)s)"
        " ORDER BY key FOR UPDATE)",
        {"keys": keys},
    )
    await connection.execute("DELETE FROM login_failures WHERE key = %(key)s", {"key": wholly})


async def insert_ticket(
    connection: AsyncConnection,
    *,
    secret_hash: bytes,
    user_id: UUID,
    session_id: UUID,
    resource: str,
    lifetime: timedelta,
) -> datetime:
    await connection.execute("DELETE FROM ws_tickets WHERE expires_at < now()")
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
    """Session and user id of a ticket for `resource`, which is then gone."""
    cursor = await connection.execute(
        "DELETE FROM ws_tickets WHERE secret_hash = %(secret_hash)s"
        " AND resource = %(resource)s AND expires_at > now() RETURNING session_id, user_id",
        {"secret_hash": secret_hash, "resource": resource},
    )
    return await cursor.fetchone()


async def find_ticket(
    connection: AsyncConnection, *, secret_hash: bytes, resource: str
) -> tuple[UUID, UUID] | None:
    """As `take_ticket`, of one that may be used again."""
    cursor = await connection.execute(
        "SELECT session_id, user_id FROM ws_tickets WHERE secret_hash = %(secret_hash)s"
        " AND resource = %(resource)s AND expires_at > now()",
        {"secret_hash": secret_hash, "resource": resource},
    )
    return await cursor.fetchone()
