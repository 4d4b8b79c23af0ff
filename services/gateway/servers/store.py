"""Servers and their enrolment tokens. Functions never commit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from services.gateway.accounts.actor_store import SHARES, server_object
from services.gateway.api import pagination
from services.gateway.servers.visibility import VISIBLE, Visibility
from services.kit.access import Action, Object, roles_for
from services.kit.metrics.tiers import RAW_TABLE, TIERS, TRAFFIC

DELETE_TIMEOUT = 300_000  # milliseconds


@dataclass(frozen=True, slots=True)
class Vps:
    id: UUID
    organisation_id: UUID
    shares: dict[str, str]
    """Levels by the ids of users with whom the server is shared now."""
    name: str
    tags: list[str]
    ip_address: str | None
    os_type: str | None
    agent_public_key: bytes | None
    last_seen_at: datetime | None
    metadata: dict[str, Any]
    agent_config: dict[str, Any]
    config_revision: int
    created_at: datetime
    updated_at: datetime


_VPS: LiteralString = (
    f"id, organisation_id, {SHARES}, name, tags, host(ip_address) AS ip_address, os_type, agent_public_key, last_seen_at,"
    " metadata, agent_config, config_revision, created_at, updated_at"
)


async def get(connection: AsyncConnection, *, vps_id: UUID) -> Vps | None:
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(f"SELECT {_VPS} FROM vps WHERE id = %(id)s", {"id": vps_id})
        return await cursor.fetchone()


async def some(connection: AsyncConnection, *, vps_ids: list[UUID]) -> dict[UUID, Vps]:
    """Return the servers with these ids that exist, by id."""
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(f"SELECT {_VPS} FROM vps WHERE id = ANY(%(ids)s)", {"ids": vps_ids})
        return {vps.id: vps for vps in await cursor.fetchall()}


async def tagged(
    connection: AsyncConnection, *, visibility: Visibility, tags: list[str]
) -> list[Vps]:
    """Find visible servers with any of these tags."""
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(
            f"SELECT {_VPS} FROM vps WHERE tags && %(tags)s::text[]"
            f" AND {VISIBLE} ORDER BY name, id",
            {"tags": tags, **visibility},
        )
        return await cursor.fetchall()


async def lock(connection: AsyncConnection, *, vps_id: UUID) -> Vps | None:
    """Return the server and lock its row until the transaction ends."""
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(f"SELECT {_VPS} FROM vps WHERE id = %(id)s FOR UPDATE", {"id": vps_id})
        return await cursor.fetchone()


async def page(
    connection: AsyncConnection,
    *,
    visibility: Visibility,
    search: str,
    limit: int,
    offset: int,
) -> tuple[list[Vps], int]:
    """Return visible servers ordered by name, and how many there are."""
    return await pagination.page(
        connection,
        Vps,
        columns=_VPS,
        source=f"FROM vps WHERE {VISIBLE}"
        " AND (%(search)s = '' OR strpos(lower(name), lower(%(search)s)) > 0)",
        order="name, id",
        parameters={"search": search, **visibility},
        limit=limit,
        offset=offset,
    )


async def objects(connection: AsyncConnection) -> dict[str, tuple[Object, bool]]:
    """Return each server as an object of actions, and whether it is enrolled, by server id."""
    cursor = await connection.execute(
        f"SELECT id, organisation_id, {SHARES}, tags, agent_public_key IS NOT NULL FROM vps"
    )
    return {
        str(vps_id): (server_object(vps_id, organisation_id, shares, tags), enrolled)
        for vps_id, organisation_id, shares, tags, enrolled in await cursor.fetchall()
    }


async def enrolled(connection: AsyncConnection) -> list[Vps]:
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(f"SELECT {_VPS} FROM vps WHERE agent_public_key IS NOT NULL")
        return await cursor.fetchall()


async def count(connection: AsyncConnection, *, organisation_id: UUID) -> int:
    """Count the servers of an organisation."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT count(*) FROM vps WHERE organisation_id = %s", [organisation_id]
        )
        number: int = await cursor.fetchone() or 0
        return number


async def insert(
    connection: AsyncConnection, *, organisation_id: UUID, user_id: UUID, name: str
) -> Vps:
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(
            "INSERT INTO vps (organisation_id, user_id, name)"
            f" VALUES (%(organisation_id)s, %(user_id)s, %(name)s) RETURNING {_VPS}",
            {"organisation_id": organisation_id, "user_id": user_id, "name": name},
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
    tags: list[str] | None = None,
) -> Vps | None:
    """Change the values that are not None; a new configuration gets the next revision."""
    async with connection.cursor(row_factory=class_row(Vps)) as cursor:
        await cursor.execute(
            "UPDATE vps SET name = coalesce(%(name)s, name), tags = coalesce(%(tags)s, tags),"
            " agent_config = coalesce(%(config)s, agent_config),"
            " config_revision = config_revision + (%(config)s::jsonb IS NOT NULL)::int,"
            f" updated_at = now() WHERE id = %(id)s RETURNING {_VPS}",
            {
                "id": vps_id,
                "name": name,
                "tags": tags,
                "config": None if agent_config is None else Jsonb(agent_config),
            },
        )
        return await cursor.fetchone()


async def move(connection: AsyncConnection, *, vps_id: UUID, organisation_id: UUID) -> None:
    """Give a server to another organisation. Its shares and enrolment tokens end."""
    parameters = {"id": vps_id, "organisation_id": organisation_id}
    await connection.execute(
        "UPDATE vps SET organisation_id = %(organisation_id)s WHERE id = %(id)s", parameters
    )
    await connection.execute("DELETE FROM server_shares WHERE vps_id = %(id)s", parameters)
    await connection.execute("DELETE FROM enrolment_tokens WHERE vps_id = %(id)s", parameters)


async def delete(connection: AsyncConnection, *, vps_id: UUID) -> None:
    """Delete the server with all its measurements, which can be years of rows."""
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
    connection: AsyncConnection,
    *,
    vps_id: UUID,
    token_hash: bytes,
    lifetime: timedelta,
    user_id: UUID,
) -> datetime:
    """Store a new token of a user for the server, in place of an earlier one."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "INSERT INTO enrolment_tokens (vps_id, token_hash, expires_at, created_by)"
            " VALUES (%(vps_id)s, %(token_hash)s, now() + %(lifetime)s, %(user_id)s)"
            " ON CONFLICT (vps_id) DO UPDATE SET token_hash = excluded.token_hash,"
            " created_by = excluded.created_by, expires_at = excluded.expires_at, used_at = NULL RETURNING expires_at",
            {
                "vps_id": vps_id,
                "token_hash": token_hash,
                "lifetime": lifetime,
                "user_id": user_id,
            },
        )
        expires_at: datetime | None = await cursor.fetchone()
        assert expires_at is not None
        return expires_at


async def use_token(connection: AsyncConnection, *, token_hash: bytes) -> UUID | None:
    """Use up a token and return its server; None if the token is invalid or its user is disabled."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "UPDATE enrolment_tokens SET used_at = now() WHERE token_hash = %(token_hash)s"
            " AND used_at IS NULL AND expires_at > now()"
            " AND EXISTS (SELECT FROM vps JOIN memberships m USING (organisation_id)"
            "  JOIN users ON users.id = m.user_id"
            "  WHERE vps.id = enrolment_tokens.vps_id AND users.id = created_by AND users.enabled"
            "  AND m.role = ANY(%(roles)s)) RETURNING vps_id",
            {"token_hash": token_hash, "roles": [*roles_for(Action.VPS_ENROL)]},
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
    """Store what the agent reported when it connected, unless a newer report is stored."""
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
    """Return the servers whose agent trusts one key but not the other, both in hexadecimal."""
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
