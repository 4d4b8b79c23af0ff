"""Dependency that finds and checks the organisation of a request."""

from uuid import UUID

from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import Scope

from services.gateway.api import errors
from services.gateway.api.request_audit import RequestAudit, UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection
from services.gateway.organisations import store
from services.kit.access import Action, Actor, Kind, Object, allow

OwnOrganisation = NamedDependency[store.Organisation]


async def provide_organisation(
    scope: Scope, db: UseConnection, audit: UseAudit, organisation_id: FromPath[UUID]
) -> store.Organisation:
    """Provide an organisation on which the caller may do the route's action. Its row is locked.

    Raises:
        RequestError: 404, the same for an absent organisation and for one of others.
    """
    found = await store.lock(db, organisation_id=organisation_id)
    if found is None:
        raise errors.not_found()
    check(scope["user"], scope["route_handler"].opt[ACTION], organisation_id, audit)
    return found


def check(actor: Actor, action: Action, organisation_id: UUID, audit: RequestAudit) -> None:
    """Check that the actor may do the action on the organisation.

    Raises:
        RequestError: 404, as for an absent organisation; 403, a member without the right.
    """
    if allow(actor, action, Object(Kind.ORGANISATION, organisation=organisation_id)):
        return
    audit.refused("no right to this organisation", object_id=object_id(organisation_id))
    if actor.role_in(organisation_id) is None:
        raise errors.not_found()
    raise errors.forbidden("Your role in this organisation does not allow this.")


def object_id(organisation_id: UUID) -> str:
    """Return the organisation's name in the audit log."""
    return f"organisation:{organisation_id}"
