"""The server of a request, found and checked before its handler runs.

A handler that asks for `server` gets a server that the caller may do the route's action on. There
are two providers: one reads it in a short transaction of its own, for handlers that then wait for
an agent; the other reads it in the request's transaction, for handlers that also take `db`.
"""

from collections.abc import Sequence
from uuid import UUID

from litestar.di import NamedDependency, Provide
from litestar.params import FromPath
from litestar.types import Scope

from services.gateway.accounts.actor_store import server_object
from services.gateway.api import errors
from services.gateway.api.open_requests import allow_revocation
from services.gateway.api.request_audit import RequestAudit, UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.api.transaction import UseConnection
from services.gateway.context import Context, UseContext
from services.gateway.servers import store
from services.kit.access import Action, Actor, Kind, Object, allow
from services.kit.database import pool as database

OwnedServer = NamedDependency[store.Vps]


async def provide_server(
    scope: Scope, context: UseContext, audit: UseAudit, vps_id: FromPath[UUID]
) -> store.Vps:
    """Raises: RequestError: 404, as `check_owned`; TransientError: the database is away."""
    async with database.transaction(context.pool) as connection:
        server = await store.get(connection, vps_id=vps_id)
    return _checked(server, scope, audit)


async def provide_server_of_transaction(
    scope: Scope, db: UseConnection, audit: UseAudit, vps_id: FromPath[UUID]
) -> store.Vps:
    """Raises: RequestError: 404, as `check_owned`; TransientError: the database is away."""
    server = await store.get(db, vps_id=vps_id)
    return _checked(server, scope, audit)


async def provide_locked_server(
    scope: Scope, db: UseConnection, audit: UseAudit, vps_id: FromPath[UUID]
) -> store.Vps:
    """Provide the server; its row stays as it is until the request's transaction ends.

    Raises:
        RequestError: 404, as `check_owned`.
        TransientError: the database is away.
    """
    server = await store.lock(db, vps_id=vps_id)
    return _checked(server, scope, audit)


# For the `dependencies` of controllers and handlers that take both `server` and `db`.
IN_TRANSACTION = {"server": Provide(provide_server_of_transaction)}
LOCKED = {"server": Provide(provide_locked_server)}


def _checked(server: store.Vps | None, scope: Scope, audit: RequestAudit) -> store.Vps:
    owned = check_owned(server, scope["user"], scope["route_handler"].opt[ACTION], audit)
    allow_revocation(scope)
    return owned


def check_owned(
    server: store.Vps | None, actor: Actor, action: Action, audit: RequestAudit
) -> store.Vps:
    """Return the server if the actor may do the action on it.

    Raises:
        RequestError: 404, the same for an absent server and for somebody else's.
    """
    if server is None:
        raise errors.not_found()
    if not allow(actor, action, object_of(server)):
        audit.refused("no right to this server", object_id=object_id(server), action=action)
        raise errors.not_found()
    return server


async def find_owned(
    context: Context, audit: RequestAudit, actor: Actor, action: Action, vps_ids: Sequence[UUID]
) -> list[store.Vps]:
    """Return these servers in their order, read in a short transaction, each checked.

    Raises:
        RequestError: 404, as `check_owned`.
        TransientError: the database is away.
    """
    async with database.transaction(context.pool) as connection:
        found = await store.some(connection, vps_ids=list(vps_ids))
    return [check_owned(found.get(vps_id), actor, action, audit) for vps_id in vps_ids]


def organisation_for(
    actor: Actor,
    asked: UUID | None,
    audit: RequestAudit,
    *,
    action: Action = Action.VPS_CREATE,
    things: str = "servers",
) -> UUID:
    """Return the organisation for something new: the one asked for, or the only possible one.

    Raises:
        RequestError: the actor may not add such things to it, or may to none or to several.
    """
    possible = [
        organisation
        for organisation, _ in actor.memberships
        if allow(actor, action, Object(Kind.ORGANISATION, organisation=organisation))
    ]
    if asked is not None:
        if asked not in possible:
            audit.refused(f"no right to add {things}", object_id=f"organisation:{asked}")
            if actor.role_in(asked) is None:
                raise errors.not_found()
            raise errors.forbidden("Your role in this organisation does not allow this.")
        return asked
    if not possible:
        audit.refused(f"no right to add {things}")
        raise errors.forbidden(
            f"You belong to no organisation to which you may add {things}. Ask an administrator of"
            " your organisation for a role that allows it."
        )
    if len(possible) > 1:
        raise errors.invalid(
            f"You may add {things} to several organisations. Name one in `organisation_id`.",
            "organisation_id",
        )
    return possible[0]


def object_of(server: store.Vps) -> Object:
    return server_object(server.id, server.organisation_id, server.shares, server.tags)


def object_id(server: store.Vps) -> str:
    """Return the server's name in the audit log."""
    return f"vps:{server.id}"
