"""Queries of alert rules, events and channels. Functions never commit."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from services.gateway.api import pagination
from services.gateway.servers.visibility import VISIBLE, Visibility

MAX_TOTAL = 100_000


@dataclass(frozen=True, slots=True)
class Rule:
    id: UUID
    organisation_id: UUID
    name: str
    metric_type: str
    comparison_operator: str
    threshold: float
    duration_seconds: int
    server_ids: list[UUID]
    tags: list[str]
    all_servers: bool
    severity: str
    enabled: bool
    channel_ids: list[UUID]
    broken: str | None
    servers: int
    firing: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Event:
    id: UUID
    state: str
    rule_id: UUID | None
    rule: str
    vps_id: UUID
    server: str
    metric_type: str
    severity: str
    threshold: float
    value: float
    fired_at: datetime
    resolved_at: datetime | None
    resolved_value: float | None
    resolve_reason: str | None


_APPLIES: LiteralString = (
    "vps.organisation_id = r.organisation_id"
    " AND (r.all_servers OR vps.id = ANY(r.server_ids) OR vps.tags && r.tags)"
)
_RULE: LiteralString = (
    "r.id, r.organisation_id, r.name, r.metric_type, r.comparison_operator, r.threshold,"
    " r.duration_seconds, r.server_ids, r.tags, r.all_servers, r.severity, r.enabled, r.broken,"
    " r.created_at, r.updated_at,"
    " ARRAY(SELECT c.channel_id FROM alert_rule_channels c WHERE c.rule_id = r.id"
    " ORDER BY c.channel_id) AS channel_ids,"
    f" (SELECT count(*) FROM vps WHERE {_APPLIES}) AS servers,"
    " (SELECT count(*) FROM alert_events e WHERE e.rule_id = r.id AND e.resolved_at IS NULL)"
    " AS firing"
)
_EVENT: LiteralString = (
    "e.id, CASE WHEN e.resolved_at IS NULL THEN 'firing' ELSE 'resolved' END AS state, e.rule_id,"
    " e.rule_name AS rule, e.vps_id, e.server_name AS server, e.metric_type, e.severity,"
    " e.threshold, e.value, e.fired_at, e.resolved_at, e.resolved_value, e.resolve_reason"
)


async def rules(
    connection: AsyncConnection, *, organisations: Sequence[UUID], limit: int, offset: int
) -> tuple[list[Rule], int]:
    return await pagination.page(
        connection,
        Rule,
        columns=_RULE,
        source="FROM alert_rules r WHERE r.organisation_id = ANY(%(organisations)s)",
        order="r.name, r.id",
        parameters={"organisations": list(organisations)},
        limit=limit,
        offset=offset,
    )


async def lock_rule(connection: AsyncConnection, *, rule_id: UUID) -> Rule | None:
    """Return a rule; its row stays as it is until the transaction ends."""
    async with connection.cursor(row_factory=class_row(Rule)) as cursor:
        await cursor.execute(
            f"SELECT {_RULE} FROM alert_rules r WHERE r.id = %s FOR NO KEY UPDATE", [rule_id]
        )
        return await cursor.fetchone()


async def count_rules(connection: AsyncConnection, *, organisation_id: UUID) -> int:
    """Count the rules of an organisation; nobody adds one before the transaction ends."""
    await connection.execute(
        "SELECT FROM organisations WHERE id = %s FOR NO KEY UPDATE", [organisation_id]
    )
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT count(*) FROM alert_rules WHERE organisation_id = %s", [organisation_id]
        )
        return await cursor.fetchone() or 0


@dataclass(frozen=True, slots=True)
class RuleFields:
    name: str
    metric_type: str
    comparison_operator: str
    threshold: float
    duration_seconds: int
    server_ids: list[UUID]
    tags: list[str]
    all_servers: bool
    severity: str
    enabled: bool


_FIELDS: LiteralString = (
    "name, metric_type, comparison_operator, threshold, duration_seconds, server_ids, tags,"
    " all_servers, severity, enabled"
)
_VALUES: LiteralString = (
    "%(name)s, %(metric_type)s, %(comparison_operator)s, %(threshold)s, %(duration_seconds)s,"
    " %(server_ids)s::uuid[], %(tags)s::text[], %(all_servers)s, %(severity)s, %(enabled)s"
)


def _parameters(fields: RuleFields) -> dict[str, object]:
    return asdict(fields)


async def insert_rule(
    connection: AsyncConnection, *, organisation_id: UUID, user_id: UUID, fields: RuleFields
) -> UUID:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            f"INSERT INTO alert_rules (organisation_id, user_id, {_FIELDS})"
            f" VALUES (%(organisation)s, %(user)s, {_VALUES}) RETURNING id",
            {"organisation": organisation_id, "user": user_id, **_parameters(fields)},
        )
        made: UUID | None = await cursor.fetchone()
    assert made is not None
    return made


async def update_rule(connection: AsyncConnection, *, rule_id: UUID, fields: RuleFields) -> None:
    """Change a rule. If it compares something else, or on other servers, it starts anew."""
    await connection.execute(
        f"UPDATE alert_rules SET ({_FIELDS}) = ({_VALUES}), updated_at = now(), broken = NULL,"
        " version = version + ((metric_type, comparison_operator, threshold, duration_seconds,"
        " enabled) IS DISTINCT FROM (%(metric_type)s, %(comparison_operator)s, %(threshold)s,"
        " %(duration_seconds)s, %(enabled)s))::integer WHERE id = %(id)s",
        {"id": rule_id, **_parameters(fields)},
    )


async def delete_rule(connection: AsyncConnection, *, rule_id: UUID) -> None:
    await connection.execute("DELETE FROM alert_rules WHERE id = %s", [rule_id])


async def put_rule_channels(
    connection: AsyncConnection, *, rule_id: UUID, channel_ids: Sequence[UUID]
) -> None:
    await connection.execute("DELETE FROM alert_rule_channels WHERE rule_id = %s", [rule_id])
    await connection.execute(
        "INSERT INTO alert_rule_channels (rule_id, channel_id)"
        " SELECT DISTINCT %(rule)s::uuid, id FROM alert_channels WHERE id = ANY(%(channels)s)",
        {"rule": rule_id, "channels": list(channel_ids)},
    )


async def servers_of_scope(
    connection: AsyncConnection, *, organisation_id: UUID, fields: RuleFields
) -> list[UUID]:
    """Return the servers of an organisation that a rule with these fields applies to."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT id FROM vps WHERE organisation_id = %(organisation)s AND (%(all)s"
            " OR id = ANY(%(ids)s::uuid[]) OR tags && %(tags)s::text[]) ORDER BY id",
            {
                "organisation": organisation_id,
                "all": fields.all_servers,
                "ids": fields.server_ids,
                "tags": fields.tags,
            },
        )
        return await cursor.fetchall()


async def events(
    connection: AsyncConnection,
    *,
    visibility: Visibility,
    state: str | None,
    rule_id: UUID | None,
    vps_id: UUID | None,
    limit: int,
    offset: int,
) -> tuple[list[Event], int]:
    """Return alerts of visible servers, newest first, and their number up to `MAX_TOTAL`."""
    return await pagination.page(
        connection,
        Event,
        columns=_EVENT,
        source="FROM alert_events e JOIN vps ON vps.id = e.vps_id"
        " AND vps.organisation_id = e.organisation_id"
        f" WHERE {VISIBLE} AND (%(state)s::text IS NULL"
        " OR (%(state)s = 'firing') = (e.resolved_at IS NULL))"
        " AND (%(rule)s::uuid IS NULL OR e.rule_id = %(rule)s)"
        " AND (%(vps)s::uuid IS NULL OR e.vps_id = %(vps)s)",
        order="e.fired_at DESC, e.id",
        parameters={**visibility, "state": state, "rule": rule_id, "vps": vps_id},
        limit=limit,
        offset=offset,
        max_total=MAX_TOTAL,
    )
