"""Who is asking, and whether the route's action is theirs.

Every route names its action in `opt`, or says it is public; one that does
neither is refused, so that forgetting a rule never opens a door.
"""

from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from services.gateway import errors
from services.gateway.credentials import Claims, hash_secret, read_token
from services.gateway.runtime import Runtime
from services.gateway.store import accounts, fleet
from services.kit import database
from services.kit.access import Action, Actor, Role, allow, needs_object

ACTION = "action"
PUBLIC = "public"
TICKET = "ticket"  # instead of the access token, in the address: what it has to be for
SCHEME = "bearer "

Connection = ASGIConnection[Any, Any, Any, Any]
AuthedRequest = Request[Actor, Claims, Any]


class Authentication(AbstractAuthenticationMiddleware):
    async def authenticate_request(self, connection: Connection) -> AuthenticationResult:
        """The actor behind the bearer token; None where there is none."""
        header = connection.headers.get("authorization", "")
        runtime: Runtime = connection.app.state.runtime
        claims = None
        if header[: len(SCHEME)].lower() == SCHEME:
            claims = read_token(runtime.settings.token_secret, header[len(SCHEME) :])
        elif TICKET in connection.route_handler.opt and TICKET in connection.query_params:
            claims = await _ticketed(runtime, connection)
        actor = None if claims is None else await actor_of(runtime, claims)
        return AuthenticationResult(user=actor, auth=claims)


async def _ticketed(runtime: Runtime, connection: Connection) -> Claims | None:
    resource: str = connection.route_handler.opt[TICKET](connection)
    secret_hash = hash_secret(connection.query_params[TICKET])
    async with database.transaction(runtime.pool) as transaction:
        found = await accounts.find_ticket(transaction, secret_hash=secret_hash, resource=resource)
    return None if found is None else Claims(session_id=found[0], user_id=found[1])


async def actor_of(runtime: Runtime, claims: Claims) -> Actor | None:
    """None once the session ended or the account was disabled."""
    async with database.transaction(runtime.pool) as connection:
        user = await accounts.user_of_session(
            connection, session_id=claims.session_id, user_id=claims.user_id
        )
    if user is None:
        return None
    return Actor(user.id, user.username, Role(user.role), claims.session_id)


def check_route(connection: Connection, handler: BaseRouteHandler) -> None:
    if handler.opt.get(PUBLIC) or handler.opt.get("exclude_from_auth"):
        return
    actor: Actor | None = connection.scope.get("user")
    if actor is None:
        refused(connection, "anonymous", handler.opt.get(ACTION), "no valid access token")
        raise errors.unauthenticated("Log in again: the access token is missing or has expired.")
    action = handler.opt.get(ACTION)
    if not isinstance(action, Action):
        raise errors.forbidden()
    # Where the action is on an object, `owned` decides once the object is known.
    if not needs_object(action) and not allow(actor, action):
        refused(connection, f"user:{actor.id}", action, "not allowed")
        raise errors.forbidden()


def owned(request: AuthedRequest, vps: fleet.Vps | None) -> fleet.Vps:
    """The server, if the route's action on it is the actor's.

    Raises:
        RequestError: 404, the same for absent and for somebody else's.
    """
    action = request.route_handler.opt[ACTION]
    if vps is None:
        raise errors.not_found()
    if not allow(request.user, action, vps.user_id):
        refused(
            request, f"user:{request.user.id}", action, "not the owner", object_id=f"vps:{vps.id}"
        )
        raise errors.not_found()
    return vps


def refused(
    connection: Connection,
    actor: str,
    action: object,
    reason: str,
    *,
    object_id: str = "",
    detail: str = "",
) -> None:
    """For the audit trail; `detail` instead of the address."""
    runtime: Runtime = connection.app.state.runtime
    runtime.trail.note(
        actor=actor,
        action=str(action),
        object=object_id,
        allowed=False,
        reason=reason,
        peer=address(connection),
        detail=detail or connection.url.path,
    )


def done(request: AuthedRequest, object_id: str, detail: str = "") -> None:
    """For the audit trail: the route's action was done."""
    runtime: Runtime = request.app.state.runtime
    runtime.trail.note(
        actor=f"user:{request.user.id}",
        action=str(request.route_handler.opt[ACTION]),
        object=object_id,
        allowed=True,
        peer=address(request),
        detail=detail,
    )


def address(connection: Connection) -> str:
    return connection.client.host if connection.client else ""
