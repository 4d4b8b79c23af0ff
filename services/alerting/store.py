"""Queries of the evaluation: the lease, rules, states and events. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from services.kit.alerts.evaluator import State


@dataclass(frozen=True, slots=True)
class Rule:
    id: UUID
    organisation_id: UUID
    version: int
    metric_type: str
    comparison_operator: str
    threshold: float
    duration_seconds: int
    server_ids: list[UUID]
    tags: list[str]
    all_servers: bool


@dataclass(frozen=True, slots=True)
class Server:
    id: UUID
    organisation_id: UUID
    tags: list[str]
    enrolled: bool


@dataclass(frozen=True, slots=True)
class StoredState:
    rule_id: UUID
    vps_id: UUID
    version: int
    seen_at: datetime
    pending_since: datetime | None
    fired_at: datetime | None


@dataclass(frozen=True, slots=True)
class Update:
    """A new state of one rule on one server."""

    rule_id: UUID
    version: int
    vps_id: UUID
    state: State


async def take_lease(connection: AsyncConnection, *, holder: UUID, seconds: float) -> bool:
    """Take or renew the lease; return False if another instance holds it.

    The row stays locked, so nobody else takes the lease before the transaction ends.
    """
    cursor = await connection.execute(
        "INSERT INTO alert_lease (holder, expires_at)"
        " VALUES (%(holder)s, clock_timestamp() + %(seconds)s * interval '1 second')"
        " ON CONFLICT (singleton) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at"
        " WHERE alert_lease.holder = excluded.holder OR alert_lease.expires_at < clock_timestamp()",
        {"holder": holder, "seconds": seconds},
    )
    return cursor.rowcount == 1


async def renew_lease(connection: AsyncConnection, *, holder: UUID, seconds: float) -> bool:
    """Renew the lease; return False if this instance does not hold it any more."""
    cursor = await connection.execute(
        "UPDATE alert_lease SET expires_at = clock_timestamp() + %(seconds)s * interval '1 second'"
        " WHERE holder = %(holder)s",
        {"holder": holder, "seconds": seconds},
    )
    return cursor.rowcount == 1


async def release_lease(connection: AsyncConnection, *, holder: UUID) -> None:
    await connection.execute("DELETE FROM alert_lease WHERE holder = %s", [holder])


async def rules(connection: AsyncConnection) -> list[Rule]:
    async with connection.cursor(row_factory=class_row(Rule)) as cursor:
        await cursor.execute(
            "SELECT id, organisation_id, version, metric_type, comparison_operator, threshold,"
            " duration_seconds, server_ids, tags, all_servers"
            " FROM alert_rules WHERE enabled ORDER BY id"
        )
        return await cursor.fetchall()


async def servers(connection: AsyncConnection) -> list[Server]:
    async with connection.cursor(row_factory=class_row(Server)) as cursor:
        await cursor.execute(
            "SELECT id, organisation_id, tags, agent_public_key IS NOT NULL AS enrolled"
            " FROM vps ORDER BY id"
        )
        return await cursor.fetchall()


async def states(connection: AsyncConnection) -> list[StoredState]:
    async with connection.cursor(row_factory=class_row(StoredState)) as cursor:
        await cursor.execute(
            "SELECT rule_id, vps_id, version, seen_at, pending_since, fired_at FROM alert_states"
        )
        return await cursor.fetchall()


async def put_states(connection: AsyncConnection, *, updates: Sequence[Update]) -> None:
    """Store states; those of rules that changed or of servers that are gone are left out."""
    await connection.execute(
        "INSERT INTO alert_states (rule_id, vps_id, version, seen_at, pending_since, fired_at)"
        " SELECT u.rule_id, u.vps_id, u.version, u.seen_at, u.pending_since, u.fired_at"
        " FROM unnest(%(rules)s::uuid[], %(vps)s::uuid[], %(versions)s::integer[],"
        " %(seen)s::timestamptz[], %(pending)s::timestamptz[], %(fired)s::timestamptz[])"
        " AS u (rule_id, vps_id, version, seen_at, pending_since, fired_at)"
        " JOIN (SELECT id, version FROM alert_rules WHERE id = ANY(%(rules)s) ORDER BY id FOR KEY SHARE)"
        " AS r ON r.id = u.rule_id AND r.version = u.version"
        " JOIN (SELECT id FROM vps WHERE id = ANY(%(vps)s) ORDER BY id FOR KEY SHARE)"
        " AS v ON v.id = u.vps_id"
        " ON CONFLICT (rule_id, vps_id) DO UPDATE SET version = excluded.version,"
        " seen_at = excluded.seen_at, pending_since = excluded.pending_since,"
        " fired_at = excluded.fired_at",
        {
            "rules": [update.rule_id for update in updates],
            "vps": [update.vps_id for update in updates],
            "versions": [update.version for update in updates],
            "seen": [to_time(update.state.seen_at) for update in updates],
            "pending": [_to_time_or_none(update.state.pending_since) for update in updates],
            "fired": [_to_time_or_none(update.state.fired_at) for update in updates],
        },
    )


# Each channel that was notified that the alert fires is notified that it ended.
_NOTIFY_RESOLVED: LiteralString = (
    "INSERT INTO alert_deliveries (channel_id, event_id, kind)"
    " SELECT d.channel_id, d.event_id, 'resolved' FROM alert_deliveries d"
    " JOIN resolved ON resolved.id = d.event_id WHERE d.kind = 'firing'"
    " ON CONFLICT (event_id, channel_id, kind) DO NOTHING"
)


async def insert_event(
    connection: AsyncConnection, *, update: Update, value: float, pause: float
) -> bool:
    """Record that a rule fires, with its notifications; return False if there is nothing to record.

    That is so if the rule changed, the server is gone, or the event is already recorded. `pause` is
    the time before the notifications are sent, in seconds.
    """
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "INSERT INTO alert_events (organisation_id, rule_id, rule_version, vps_id, rule_name, server_name,"
            " metric_type, severity, threshold, value, fired_at)"
            " SELECT r.organisation_id, r.id, r.version, vps.id, r.name, vps.name, r.metric_type, r.severity,"
            " r.threshold, %(value)s, %(fired_at)s FROM alert_rules r JOIN vps ON vps.id = %(vps)s"
            " AND vps.organisation_id = r.organisation_id"
            " WHERE r.id = %(rule)s AND r.version = %(version)s AND r.enabled"
            " FOR SHARE OF r FOR KEY SHARE OF vps"
            " ON CONFLICT (rule_id, vps_id) WHERE resolved_at IS NULL DO NOTHING RETURNING id",
            {
                "rule": update.rule_id,
                "version": update.version,
                "vps": update.vps_id,
                "value": value,
                "fired_at": to_time(update.state.seen_at),
            },
        )
        event_id = await cursor.fetchone()
    if event_id is None:
        return False
    await connection.execute(
        "INSERT INTO alert_deliveries (channel_id, event_id, kind, next_attempt_at)"
        " SELECT channel_id, %(event)s, 'firing', clock_timestamp() + %(pause)s * interval '1 second'"
        " FROM alert_rule_channels WHERE rule_id = %(rule)s",
        {"event": event_id, "rule": update.rule_id, "pause": pause},
    )
    return True


async def resolve_event(connection: AsyncConnection, *, update: Update, value: float) -> None:
    """Record that an alert ended, if it is open, with its notifications."""
    await connection.execute(
        "WITH resolved AS (UPDATE alert_events SET resolved_at = %(time)s,"
        " resolved_value = %(value)s, resolve_reason = 'measured'"
        " WHERE rule_id = %(rule)s AND vps_id = %(vps)s AND rule_version = %(version)s"
        f" AND resolved_at IS NULL RETURNING id) {_NOTIFY_RESOLVED}",
        {
            "rule": update.rule_id,
            "vps": update.vps_id,
            "version": update.version,
            "time": to_time(update.state.seen_at),
            "value": value,
        },
    )


async def forget_notifications(connection: AsyncConnection, *, update: Update) -> None:
    """Delete the notifications of an open alert that nobody has tried to send."""
    await connection.execute(
        "DELETE FROM alert_deliveries d USING alert_events e WHERE e.id = d.event_id"
        " AND e.rule_id = %(rule)s AND e.vps_id = %(vps)s AND e.resolved_at IS NULL"
        " AND d.status = 'pending' AND d.attempts = 0",
        {"rule": update.rule_id, "vps": update.vps_id},
    )


async def resolve_orphans(
    connection: AsyncConnection, *, tracked: Sequence[tuple[UUID, UUID, int]]
) -> None:
    """End the alerts whose rule changed or no longer applies to the server, and delete their states.

    `tracked` are the rules, servers and versions that are evaluated.
    """
    parameters = {
        "rules": [rule_id for rule_id, _, _ in tracked],
        "vps": [vps_id for _, vps_id, _ in tracked],
        "versions": [version for _, _, version in tracked],
    }
    await connection.execute(
        "DELETE FROM alert_states s WHERE NOT EXISTS ("
        " SELECT FROM unnest(%(rules)s::uuid[], %(vps)s::uuid[], %(versions)s::integer[])"
        " AS t (rule_id, vps_id, version) WHERE t.rule_id = s.rule_id AND t.vps_id = s.vps_id"
        " AND t.version = s.version)",
        parameters,
    )
    await connection.execute(
        "WITH resolved AS (UPDATE alert_events e SET resolved_at = clock_timestamp(),"
        " resolve_reason = 'rule_changed' WHERE resolved_at IS NULL AND NOT EXISTS ("
        " SELECT FROM unnest(%(rules)s::uuid[], %(vps)s::uuid[], %(versions)s::integer[])"
        " AS t (rule_id, vps_id, version) WHERE t.rule_id = e.rule_id AND t.vps_id = e.vps_id"
        f" AND t.version = e.rule_version) RETURNING id) {_NOTIFY_RESOLVED}",
        parameters,
    )


async def mark_broken(
    connection: AsyncConnection, *, rule_id: UUID, version: int, reason: str
) -> None:
    await connection.execute(
        "UPDATE alert_rules SET broken = %(reason)s WHERE id = %(id)s AND version = %(version)s"
        " AND broken IS DISTINCT FROM %(reason)s",
        {"id": rule_id, "version": version, "reason": reason},
    )


def to_time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _to_time_or_none(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else to_time(milliseconds)


def to_milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def state_of(stored: StoredState) -> State:
    return State(
        to_milliseconds(stored.seen_at),
        None if stored.pending_since is None else to_milliseconds(stored.pending_since),
        None if stored.fired_at is None else to_milliseconds(stored.fired_at),
    )
