"""Checks of rules, and their answers."""

import math
from dataclasses import asdict
from uuid import UUID

import msgspec
from msgspec import UNSET

from services.gateway.alerts import channel_store, store
from services.gateway.alerts.schemas import Rule, RuleCreate, RuleUpdate, Scope
from services.gateway.api import errors
from services.gateway.servers import store as server_store
from services.gateway.servers.access import object_of
from services.kit.access import Action, Actor, allow
from services.kit.alerts import metrics
from services.kit.database import pool as database


def fields_of(rule: RuleCreate) -> store.RuleFields:
    """Return the checked fields of a rule.

    Raises:
        RequestError: 422, with the name of the wrong field.
    """
    if rule.metric_type not in metrics.NAMES:
        close = metrics.similar(rule.metric_type)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise errors.invalid(
            f"There is no metric {rule.metric_type!r}.{hint}"
            f" The metrics are: {', '.join(metrics.NAMES)}.",
            "metric_type",
        )
    is_offline = rule.metric_type == metrics.OFFLINE
    comparison = rule.comparison_operator or (">=" if is_offline else None)
    threshold = 1.0 if rule.threshold is None and is_offline else rule.threshold
    if comparison is None:
        raise errors.invalid("Required for this metric.", "comparison_operator")
    if threshold is None:
        raise errors.invalid("Required for this metric.", "threshold")
    least, most = metrics.bounds(rule.metric_type)
    if not math.isfinite(threshold) or not least <= threshold <= most:
        raise errors.invalid(
            f"The threshold of {rule.metric_type} must be a number from {least:g} to {most:g}.",
            "threshold",
        )
    _check_scope(rule.scope)
    return store.RuleFields(
        name=rule.name,
        metric_type=rule.metric_type,
        comparison_operator=comparison,
        threshold=threshold,
        duration_seconds=rule.duration_seconds,
        server_ids=list(dict.fromkeys(rule.scope.server_ids)),
        tags=list(dict.fromkeys(rule.scope.tags)),
        all_servers=rule.scope.all,
        severity=rule.severity,
        enabled=rule.enabled,
    )


def _check_scope(scope: Scope) -> None:
    selected = bool(scope.server_ids or scope.tags)
    if not selected and not scope.all:
        raise errors.invalid(
            "The scope selects no server. Give `server_ids` or `tags`, or set `all` to true.",
            "scope",
        )
    if selected and scope.all:
        raise errors.invalid(
            "Give either `all` or a selection by `server_ids` and `tags`, not both.", "scope.all"
        )


async def check_references(
    db: database.Connection, actor: Actor, organisation_id: UUID, rule: RuleCreate
) -> None:
    """Check that the servers and the channels of a rule are those of its organisation.

    Raises:
        RequestError: 422, the same for an absent object and for one of others.
    """
    found = await server_store.some(db, vps_ids=rule.scope.server_ids)
    for vps_id in rule.scope.server_ids:
        server = found.get(vps_id)
        if (
            server is None
            or server.organisation_id != organisation_id
            or not allow(actor, Action.VPS_READ, object_of(server))
        ):
            raise errors.invalid(f"This organisation has no server {vps_id}.", "scope.server_ids")
    absent = await channel_store.absent(
        db, organisation_id=organisation_id, channel_ids=rule.channel_ids
    )
    if absent:
        raise errors.invalid(f"This organisation has no channel {absent[0]}.", "channel_ids")


def merged(rule: store.Rule, changes: RuleUpdate) -> RuleCreate:
    """Return the rule with the given changes, as if it were added."""
    current = {
        "name": rule.name,
        "metric_type": rule.metric_type,
        "comparison_operator": rule.comparison_operator,
        "threshold": rule.threshold,
        "duration_seconds": rule.duration_seconds,
        "scope": _scope(rule),
        "severity": rule.severity,
        "channel_ids": rule.channel_ids,
        "enabled": rule.enabled,
    }
    given = {name: getattr(changes, name) for name in changes.__struct_fields__}
    changed = {name: value for name, value in given.items() if value is not UNSET}
    return msgspec.convert(current | changed, RuleCreate)


def view(rule: store.Rule) -> Rule:
    return msgspec.convert({**asdict(rule), "scope": _scope(rule)}, Rule, from_attributes=True)


def _scope(rule: store.Rule) -> Scope:
    return Scope(server_ids=rule.server_ids, tags=rule.tags, all=rule.all_servers)
