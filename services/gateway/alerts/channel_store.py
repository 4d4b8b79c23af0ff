"""Queries of notification channels, their log, and the outbound settings. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from services.gateway.api import pagination


@dataclass(frozen=True, slots=True)
class Channel:
    id: UUID
    organisation_id: UUID
    name: str
    type: str
    target: str
    rules: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    id: int
    kind: str
    event_id: UUID | None
    status: str
    attempts: int
    error: str | None
    created_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None


_CHANNEL: LiteralString = (
    "c.id, c.organisation_id, c.name, c.type, c.target, c.created_at, c.updated_at,"
    " (SELECT count(*) FROM alert_rule_channels r WHERE r.channel_id = c.id) AS rules"
)
_DELIVERY: LiteralString = (
    "id, kind, event_id, status, attempts, error, created_at, finished_at,"
    " CASE WHEN status = 'pending' THEN next_attempt_at END AS next_attempt_at"
)


async def page(
    connection: AsyncConnection, *, organisations: Sequence[UUID], limit: int, offset: int
) -> tuple[list[Channel], int]:
    return await pagination.page(
        connection,
        Channel,
        columns=_CHANNEL,
        source="FROM alert_channels c WHERE c.organisation_id = ANY(%(organisations)s)",
        order="c.name, c.id",
        parameters={"organisations": list(organisations)},
        limit=limit,
        offset=offset,
    )


async def lock(connection: AsyncConnection, *, channel_id: UUID) -> Channel | None:
    """Return a channel; its row stays as it is until the transaction ends."""
    async with connection.cursor(row_factory=class_row(Channel)) as cursor:
        await cursor.execute(
            f"SELECT {_CHANNEL} FROM alert_channels c WHERE c.id = %s FOR NO KEY UPDATE",
            [channel_id],
        )
        return await cursor.fetchone()


async def absent(
    connection: AsyncConnection, *, organisation_id: UUID, channel_ids: Sequence[UUID]
) -> list[UUID]:
    """Return those of the channels that the organisation does not have."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT id FROM alert_channels WHERE organisation_id = %(organisation)s"
            " AND id = ANY(%(ids)s) FOR KEY SHARE",
            {"organisation": organisation_id, "ids": list(channel_ids)},
        )
        found = set(await cursor.fetchall())
    return [channel_id for channel_id in channel_ids if channel_id not in found]


async def count(connection: AsyncConnection, *, organisation_id: UUID) -> int:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT count(*) FROM alert_channels WHERE organisation_id = %s", [organisation_id]
        )
        return await cursor.fetchone() or 0


async def insert(
    connection: AsyncConnection,
    *,
    channel_id: UUID,
    organisation_id: UUID,
    name: str,
    type_: str,
    target: str,
    config: bytes,
) -> None:
    await connection.execute(
        "INSERT INTO alert_channels (id, organisation_id, name, type, target, config)"
        " VALUES (%(id)s, %(organisation)s, %(name)s, %(type)s, %(target)s, %(config)s)",
        {
            "id": channel_id,
            "organisation": organisation_id,
            "name": name,
            "type": type_,
            "target": target,
            "config": config,
        },
    )


async def rename(connection: AsyncConnection, *, channel_id: UUID, name: str) -> None:
    await connection.execute(
        "UPDATE alert_channels SET name = %(name)s, updated_at = now() WHERE id = %(id)s",
        {"id": channel_id, "name": name},
    )


async def configure(
    connection: AsyncConnection, *, channel_id: UUID, target: str, config: bytes
) -> None:
    await connection.execute(
        "UPDATE alert_channels SET target = %(target)s, config = %(config)s, updated_at = now()"
        " WHERE id = %(id)s",
        {"id": channel_id, "target": target, "config": config},
    )


async def delete(connection: AsyncConnection, *, channel_id: UUID) -> None:
    await connection.execute("DELETE FROM alert_channels WHERE id = %s", [channel_id])


async def insert_test(connection: AsyncConnection, *, channel_id: UUID) -> Delivery:
    async with connection.cursor(row_factory=class_row(Delivery)) as cursor:
        await cursor.execute(
            "INSERT INTO alert_deliveries (channel_id, kind) VALUES (%s, 'test')"
            f" RETURNING {_DELIVERY}",
            [channel_id],
        )
        made = await cursor.fetchone()
    assert made is not None
    return made


async def waiting_tests(connection: AsyncConnection, *, channel_id: UUID) -> int:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT count(*) FROM alert_deliveries WHERE channel_id = %s AND kind = 'test'"
            " AND status = 'pending'",
            [channel_id],
        )
        return await cursor.fetchone() or 0


async def deliveries(
    connection: AsyncConnection, *, channel_id: UUID, limit: int, offset: int
) -> tuple[list[Delivery], int]:
    """Return the notifications of a channel, newest first."""
    return await pagination.page(
        connection,
        Delivery,
        columns=_DELIVERY,
        source="FROM alert_deliveries WHERE channel_id = %(channel)s",
        order="id DESC",
        parameters={"channel": channel_id},
        limit=limit,
        offset=offset,
        max_total=100_000,
    )


async def outbound_targets(connection: AsyncConnection) -> list[str]:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT target FROM outbound_targets ORDER BY target")
        return await cursor.fetchall()


async def replace_outbound_targets(connection: AsyncConnection, *, targets: Sequence[str]) -> None:
    await connection.execute("LOCK TABLE outbound_targets IN SHARE ROW EXCLUSIVE MODE")
    await connection.execute(
        "DELETE FROM outbound_targets WHERE target <> ALL(%s::text[])", [list(targets)]
    )
    await connection.execute(
        "INSERT INTO outbound_targets (target) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
        [list(targets)],
    )
