"""Dependency that finds and checks the terminal session of a request."""

import re
from dataclasses import replace
from uuid import UUID

from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import Scope

from flotilla.v1.shell_pb2 import ShellUser
from services.gateway.accounts.actor_store import server_object
from services.gateway.api import errors
from services.gateway.api.request_audit import UseAudit
from services.gateway.api.rules import ACTION
from services.gateway.context import UseContext
from services.gateway.terminals import store
from services.kit.access import Actor, Kind, Object, allow, oversees
from services.kit.database import pool as database

SESSION_ID = re.compile(r"[0-9a-f]{32}")

OwnedTerminal = NamedDependency[store.Session]


async def provide_terminal(
    scope: Scope, context: UseContext, audit: UseAudit, session_id: FromPath[str]
) -> store.Session:
    """Provide the terminal session. Read it in a separate short transaction.

    Raises:
        RequestError: 404 if the session does not exist or belongs to another user.
    """
    if not SESSION_ID.fullmatch(session_id):
        audit.refused("not the id of a terminal session")
        raise errors.not_found()
    async with database.transaction(context.pool) as connection:
        session = await store.get(connection, session_id=session_id)
    if session is None:
        raise errors.not_found()
    if not allow(scope["user"], scope["route_handler"].opt[ACTION], object_of(session)):
        audit.refused("no right to this terminal", object_id=f"vps:{session.vps_id}")
        raise errors.not_found()
    return session


def object_of(session: store.Session) -> Object:
    server = server_object(session.vps_id, session.organisation_id, session.shares, session.tags)
    return replace(server, kind=Kind.TERMINAL, owner=session.user_id)


def shell_user(actor: Actor, organisation_id: UUID) -> ShellUser:
    """Convert the actor to the user message of the shellproxy, for a server of an organisation."""
    return ShellUser(
        id=str(actor.id), username=actor.username, oversees=oversees(actor, organisation_id)
    )
