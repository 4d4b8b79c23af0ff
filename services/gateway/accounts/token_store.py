"""Queries for API tokens. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row


@dataclass(frozen=True, slots=True)
class ApiToken:
    id: UUID
    name: str
    scopes: list[str]
    server_ids: list[UUID] | None
    tags: list[str] | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


_COLUMNS = "id, name, scopes, server_ids, tags, created_at, expires_at, used_at"


async def insert(
    connection: AsyncConnection,
    *,
    user_id: UUID,
    name: str,
    secret_hash: bytes,
    scopes: Sequence[str],
    server_ids: Sequence[UUID] | None,
    tags: Sequence[str] | None,
    lifetime: timedelta,
) -> ApiToken:
    async with connection.cursor(row_factory=class_row(ApiToken)) as cursor:
        await cursor.execute(
            "INSERT INTO api_tokens"
            " (user_id, name, secret_hash, scopes, server_ids, tags, expires_at)"
            " VALUES (%(user_id)s, %(name)s, %(hash)s, %(scopes)s, %(server_ids)s, %(tags)s,"
            f" now() + %(lifetime)s) RETURNING {_COLUMNS}",
            {
                "user_id": user_id,
                "name": name,
                "hash": secret_hash,
                "scopes": list(scopes),
                "server_ids": None if server_ids is None else list(server_ids),
                "tags": None if tags is None else list(tags),
                "lifetime": lifetime,
            },
        )
        made = await cursor.fetchone()
        assert made is not None
        return made


async def of_user(connection: AsyncConnection, *, user_id: UUID) -> list[ApiToken]:
    """Return the tokens of a user, the newest first; expired ones stay until they are deleted."""
    async with connection.cursor(row_factory=class_row(ApiToken)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM api_tokens WHERE user_id = %s ORDER BY created_at DESC, id",
            [user_id],
        )
        return await cursor.fetchall()


async def delete(connection: AsyncConnection, *, user_id: UUID, token_id: UUID) -> str | None:
    """Delete a token of a user and return its name; None if there is no such token."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "DELETE FROM api_tokens WHERE user_id = %(user_id)s AND id = %(id)s RETURNING name",
            {"user_id": user_id, "id": token_id},
        )
        name: str | None = await cursor.fetchone()
        return name


async def use(connection: AsyncConnection, *, secret_hash: bytes) -> tuple[UUID, UUID] | None:
    """Return the ids of a valid token and its user, and note the use, at most once a minute."""
    cursor = await connection.execute(
        "SELECT id, user_id, used_at IS NULL OR used_at < now() - interval '1 minute'"
        " FROM api_tokens WHERE secret_hash = %(hash)s AND expires_at > now()",
        {"hash": secret_hash},
    )
    found = await cursor.fetchone()
    if found is None:
        return None
    token_id, user_id, is_due = found
    if is_due:
        await connection.execute("UPDATE api_tokens SET used_at = now() WHERE id = %s", [token_id])
    return token_id, user_id
