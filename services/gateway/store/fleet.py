"""Servers and their enrolment tokens. Functions never commit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from services.kit.tiers import RAW_TABLE, TIERS, TRAFFIC

DELETE_TIMEOUT = 300_000  # milliseconds


@dataclass(frozen=True, slots=True)
class Vps:
    id: UUID
    user_id: UUID
    name: str
    ip_address: str | None
    os_type: str | None
    agent_public_key: bytes | None
    last_seen_at: datetime | None
    metadata: dict[str, Any]
    agent_config: dict[str, Any]
    config_revision: int
    created_at: datetime
    updated_at: datetime


_VPS = (
    "id, user_id, name, host(ip_address) AS ip_address, os_type, agent_public_key, last_seen_at,"
    " metadata, agent_config, config_revision, created_at, updated_at"
)


async def get(connection: AsyncConnection, *, vps_id: UUID) -> Vps | None:
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(f"SELECT {_VPS} FROM vps WHERE id = %(id)s", {"id": vps_id})
        return await cursor.fetchone()


async def some(connection: AsyncConnection, *, vps_ids: list[UUID]) -> dict[UUID, Vps]:
    """Those of them that there are, by id."""
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(f"SELECT {_VPS} FROM vps WHERE id = ANY(%(ids)s)", {"ids": vps_ids})
        return {vps.id: vps for vps in await cursor.fetchall()}


async def lock(connection: AsyncConnection, *, vps_id: UUID) -> Vps | None:
    """As `get`; nobody changes it until the transaction ends."""
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(f"SELECT {_VPS} FROM vps WHERE id = %(id)s FOR UPDATE", {"id": vps_id})
        return await cursor.fetchone()


async def page(
    connection: AsyncConnection,
    *,
    owner_id: UUID | None,
    search: str,
    limit: int,
    offset: int,
) -> tuple[list[Vps], int]:
    """Servers by name and their number, of one owner or (None) of all."""
    where = (
        " FROM vps WHERE (%(owner)s::uuid IS NULL OR user_id = %(owner)s)"
        " AND (%(search)s = '' OR strpos(lower(name), lower(%(search)s)) > 0)"
    )
    parameters = {"owner": owner_id, "search": search, "limit": limit, "offset": offset}
    async with connection.cursor(row_factory=scalar_row) as counter:
        await counter.execute(f"SELECT count(*){where}", parameters)
        total: int = await counter.fetchone() or 0
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(
            f"SELECT {_VPS}{where} ORDER BY name, id LIMIT %(limit)s OFFSET %(offset)s",
            parameters,
        )
        return await cursor.fetchall(), total


async def owners(connection: AsyncConnection) -> dict[str, tuple[UUID, bool]]:
    """Every server's owner and whether it is enrolled, by server id."""
    cursor = await connection.execute(
        "SELECT id::text, user_id, agent_public_key IS NOT NULL FROM vps"
    )
    return {vps_id: (owner, enrolled) for vps_id, owner, enrolled in await cursor.fetchall()}


async def enrolled(connection: AsyncConnection) -> list[Vps]:
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(f"SELECT {_VPS} FROM vps WHERE agent_public_key IS NOT NULL")
        return await cursor.fetchall()


async def insert(connection: AsyncConnection, *, user_id: UUID, name: str) -> Vps:
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(
            f"INSERT INTO vps (user_id, name) VALUES (%(user_id)s, %(name)s) RETURNING {_VPS}",
            {"user_id": user_id, "name": name},
        )
        vps = await cursor.fetchone()
        assert vps is not None
        return vps


async def update(
    connection: AsyncConnection,
    *,
    vps_id: UUID,
    name: str | None,
    agent_config: dict[str, Any] | None,
) -> Vps | None:
    """Change what is not None; a new configuration gets the next revision."""
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(
            "UPDATE vps SET name = coalesce(%(name)s, name),"
            " agent_config = coalesce(%(config)s, agent_config),"
            " config_revision = config_revision + (%(config)s::jsonb IS NOT NULL)::int,"
            f" updated_at = now() WHERE id = %(id)s RETURNING {_VPS}",
            {
                "id": vps_id,
                "name": name,
                "config": None if agent_config is None else Jsonb(agent_config),
            },
        )
        return await cursor.fetchone()


async def delete(connection: AsyncConnection, *, vps_id: UUID) -> None:
    """The server and all that was measured there, which can be years of rows."""
    parameters = {"id": vps_id}
    await connection.execute(f"SET LOCAL statement_timeout = {DELETE_TIMEOUT}")
    await connection.execute(
        "DELETE FROM docker_metrics USING docker_containers c"
        " WHERE container_db_id = c.id AND c.vps_id = %(id)s",
        parameters,
    )
    await connection.execute(
        "DELETE FROM generic_metrics USING generic_series s"
        " WHERE series_id = s.id AND s.vps_id = %(id)s",
        parameters,
    )
    await connection.execute("DELETE FROM vps WHERE id = %(id)s", parameters)
    for table in (RAW_TABLE, *(tier.table for tier in (*TIERS, TRAFFIC))):
        await connection.execute(
            sql.SQL("DELETE FROM {} WHERE vps_id = %(id)s").format(sql.Identifier(table)),
            parameters,
        )


async def put_token(
    connection: AsyncConnection, *, vps_id: UUID, token_hash: bytes, lifetime: timedelta
) -> datetime:
    """A new token for the server; an earlier one is dead."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "INSERT INTO enrolment_tokens (vps_id, token_hash, expires_at)"
            " VALUES (%(vps_id)s, %(token_hash)s, now() + %(lifetime)s)"
            " ON CONFLICT (vps_id) DO UPDATE SET token_hash = excluded.token_hash,"
            " expires_at = excluded.expires_at, used_at = NULL RETURNING expires_at",
            {"vps_id": vps_id, "token_hash": token_hash, "lifetime": lifetime},
        )
        expires_at: datetime | None = await cursor.fetchone()
        assert expires_at is not None
        return expires_at


async def use_token(connection: AsyncConnection, *, token_hash: bytes) -> UUID | None:
    """The server of a good token, which is then used; None for any other."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "UPDATE enrolment_tokens SET used_at = now() WHERE token_hash = %(token_hash)s"
            " AND used_at IS NULL AND expires_at > now() RETURNING vps_id",
            {"token_hash": token_hash},
        )
        vps_id: UUID | None = await cursor.fetchone()
        return vps_id


async def enrol(connection: AsyncConnection, *, vps_id: UUID, public_key: bytes) -> Vps | None:
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(
            "UPDATE vps SET agent_public_key = %(key)s, status = 'enrolled', updated_at = now()"
            f" WHERE id = %(id)s RETURNING {_VPS}",
            {"id": vps_id, "key": public_key},
        )
        return await cursor.fetchone()


async def record_connection(
    connection: AsyncConnection,
    *,
    vps_id: UUID,
    seen_at: datetime,
    ip_address: str,
    os_type: str,
    metadata: dict[str, Any],
) -> None:
    """What the agent told when it connected, unless something newer is known."""
    await connection.execute(
        "UPDATE vps SET last_seen_at = %(seen_at)s, ip_address = nullif(%(ip)s, '')::inet,"
        " os_type = nullif(%(os_type)s, ''), metadata = metadata || %(metadata)s"
        " WHERE id = %(id)s AND (last_seen_at IS NULL OR last_seen_at <= %(seen_at)s)",
        {
            "id": vps_id,
            "seen_at": seen_at,
            "ip": ip_address,
            "os_type": os_type,
            "metadata": Jsonb(metadata),
        },
    )


async def trusting(connection: AsyncConnection, *, command_key: str, and_not: str) -> set[UUID]:
    """Servers whose agent said that it obeys the one key and not the other, in hexadecimal."""
    cursor = await connection.execute(
        "SELECT id FROM vps WHERE metadata->'command_keys' ? %(key)s"
        " AND NOT metadata->'command_keys' ? %(other)s",
        {"key": command_key, "other": and_not},
    )
    return {vps_id for (vps_id,) in await cursor.fetchall()}


async def put_command_keys(connection: AsyncConnection, *, vps_id: UUID, keys: list[str]) -> None:
    await connection.execute(
        "UPDATE vps SET metadata = metadata || %(keys)s WHERE id = %(id)s",
        {"id": vps_id, "keys": Jsonb({"command_keys": keys})},
    )


async def record_seen(connection: AsyncConnection, *, vps_id: UUID, seen_at: datetime) -> None:
    await connection.execute(
        "UPDATE vps SET last_seen_at = greatest(last_seen_at, %(seen_at)s) WHERE id = %(id)s",
        {"id": vps_id, "seen_at": seen_at},
    )
