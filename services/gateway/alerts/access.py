"""Dependencies that find and check the rule or the channel of a request."""

from uuid import UUID

from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import Scope

from services.gateway.alerts import channel_store, store
from services.gateway.api import errors
from services.gateway.api.request_audit import RequestAudit, UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection
from services.kit.access import Action, Actor, Kind, Object, allow

OwnRule = NamedDependency[store.Rule]
OwnChannel = NamedDependency[channel_store.Channel]


async def provide_rule(
    scope: Scope, db: UseConnection, audit: UseAudit, rule_id: FromPath[UUID]
) -> store.Rule:
    """Provide a rule on which the caller may do the route's action. Its row is locked.

    Raises:
        RequestError: as `_check`.
    """
    found = await store.lock_rule(db, rule_id=rule_id)
    if found is None:
        raise errors.not_found()
    _check(scope, found.organisation_id, f"alert-rule:{rule_id}", audit)
    return found


async def provide_channel(
    scope: Scope, db: UseConnection, audit: UseAudit, channel_id: FromPath[UUID]
) -> channel_store.Channel:
    """Provide a channel on which the caller may do the route's action. Its row is locked.

    Raises:
        RequestError: as `_check`.
    """
    found = await channel_store.lock(db, channel_id=channel_id)
    if found is None:
        raise errors.not_found()
    _check(scope, found.organisation_id, f"alert-channel:{channel_id}", audit)
    return found


def _check(scope: Scope, organisation_id: UUID, object_id: str, audit: RequestAudit) -> None:
    """Raises: RequestError: 404, as for an absent object; 403, a member without the right."""
    actor: Actor = scope["user"]
    action = scope["route_handler"].opt[ACTION]
    if allow(actor, action, Object(Kind.ORGANISATION, organisation=organisation_id)):
        return
    audit.refused("no right to this organisation's alerts", object_id=object_id)
    if actor.role_in(organisation_id) is None:
        raise errors.not_found()
    raise errors.forbidden("Your role in this organisation does not allow this.")


def organisations_of(actor: Actor) -> list[UUID]:
    """Return the organisations whose rules and channels the actor may see."""
    return [
        organisation
        for organisation, _ in actor.memberships
        if allow(actor, Action.ALERT_READ, Object(Kind.ORGANISATION, organisation=organisation))
    ]
