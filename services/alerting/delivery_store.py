"""Queries of notifications. Functions never commit."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notification to send now, with the facts of its event; a test has no event."""

    id: int
    kind: str
    attempts: int
    created_at: datetime
    channel_id: UUID
    channel_type: str
    config: bytes = field(repr=False)
    """The encrypted configuration of the channel."""
    event_id: UUID | None
    rule_id: UUID | None
    rule_name: str | None
    vps_id: UUID | None
    server_name: str | None
    metric_type: str | None
    severity: str | None
    threshold: float | None
    value: float | None
    fired_at: datetime | None
    resolved_at: datetime | None
    resolved_value: float | None
    resolve_reason: str | None


async def claim(
    connection: AsyncConnection,
    *,
    limit: int,
    per_channel: int,
    seconds: float,
    busy: list[UUID],
) -> list[Delivery]:
    """Claim notifications that are due, for so many seconds, and count the attempt.

    No channel gets more than `per_channel` of them, and those in `busy` get none, so a slow one
    leaves room for the others. A notification waits until the earlier one of the same event and channel has ended.
    """
    async with connection.cursor(row_factory=class_row(Delivery)) as cursor:
        await cursor.execute(
            "WITH due AS (SELECT id, row_number() OVER (PARTITION BY channel_id"
            " ORDER BY next_attempt_at, id) AS place FROM alert_deliveries d"
            " WHERE status = 'pending' AND next_attempt_at <= clock_timestamp()"
            " AND channel_id <> ALL(%(busy)s::uuid[])"
            " AND NOT EXISTS (SELECT FROM alert_deliveries e WHERE e.event_id = d.event_id"
            " AND e.channel_id = d.channel_id AND e.status = 'pending' AND e.id < d.id)),"
            " chosen AS (SELECT id FROM alert_deliveries WHERE id IN (SELECT id FROM due"
            " WHERE place <= %(per_channel)s ORDER BY place, id LIMIT %(limit)s)"
            " AND status = 'pending' AND next_attempt_at <= clock_timestamp()"
            " FOR UPDATE SKIP LOCKED),"
            " claimed AS (UPDATE alert_deliveries SET attempts = attempts + 1, next_attempt_at ="
            " clock_timestamp() + %(seconds)s * interval '1 second'"
            " WHERE id IN (SELECT id FROM chosen) RETURNING *)"
            " SELECT d.id, d.kind, d.attempts, d.created_at, c.id AS channel_id,"
            " c.type AS channel_type, c.config, e.id AS event_id, e.rule_id, e.rule_name, e.vps_id,"
            " e.server_name, e.metric_type, e.severity, e.threshold, e.value, e.fired_at,"
            " CASE WHEN d.kind = 'resolved' THEN e.resolved_at END AS resolved_at,"
            " e.resolved_value, e.resolve_reason FROM claimed d"
            " JOIN alert_channels c ON c.id = d.channel_id"
            " LEFT JOIN alert_events e ON e.id = d.event_id ORDER BY d.id",
            {"limit": limit, "per_channel": per_channel, "seconds": seconds, "busy": busy},
        )
        return await cursor.fetchall()


async def finish(
    connection: AsyncConnection, *, delivery_id: int, status: str, error: str | None = None
) -> None:
    await connection.execute(
        "UPDATE alert_deliveries SET status = %(status)s, finished_at = clock_timestamp(),"
        " error = %(error)s WHERE id = %(id)s",
        {"id": delivery_id, "status": status, "error": error},
    )


async def postpone(
    connection: AsyncConnection, *, delivery_id: int, seconds: float, error: str
) -> None:
    await connection.execute(
        "UPDATE alert_deliveries SET error = %(error)s, next_attempt_at = clock_timestamp()"
        " + %(seconds)s * interval '1 second' WHERE id = %(id)s",
        {"id": delivery_id, "seconds": seconds, "error": error},
    )


async def outbound_targets(connection: AsyncConnection) -> frozenset[str]:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT target FROM outbound_targets")
        return frozenset(await cursor.fetchall())


async def delete_old(connection: AsyncConnection) -> None:
    """Delete notifications that ended 30 days ago, and alerts that ended a year ago."""
    await connection.execute(
        "DELETE FROM alert_deliveries WHERE id IN (SELECT id FROM alert_deliveries"
        " WHERE status <> 'pending' AND finished_at < now() - interval '30 days' LIMIT 1000)"
    )
    await connection.execute(
        "DELETE FROM alert_events WHERE id IN (SELECT id FROM alert_events"
        " WHERE resolved_at < now() - interval '1 year' LIMIT 1000)"
    )
