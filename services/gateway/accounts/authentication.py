"""Authentication of requests by access token or by ticket."""

from collections.abc import Mapping
from typing import Any

from litestar import Request
from litestar.enums import ScopeType
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from services.gateway.accounts import actor_store, store, token_store
from services.gateway.accounts.request_origin import check_origin
from services.gateway.accounts.tokens import Claims, hash_secret, read_token
from services.gateway.api.request_audit import Connection
from services.gateway.api.rules import API, TICKET
from services.gateway.context import Context
from services.kit.access import Actor
from services.kit.database import pool as database

SCHEME = "bearer "
# Tells API tokens from access tokens. Programs that look for leaked secrets know them by it.
API_TOKEN_PREFIX = "flt_"  # noqa: S105

AuthedRequest = Request[Actor, Claims, Any]


class Authentication(AbstractAuthenticationMiddleware):
    async def authenticate_request(self, connection: Connection) -> AuthenticationResult:
        """Return the actor and the claims of the request; None if the credentials are invalid.

        Raises:
            RequestError: a page of another origin tries to open a WebSocket.
        """
        context: Context = connection.app.state.context
        if connection.scope["type"] == ScopeType.WEBSOCKET:
            check_origin(connection)
        token = bearer_token(connection)
        if token is not None and token.startswith(API_TOKEN_PREFIX):
            claims = await _claims_of_api_token(context, token)
        elif token is not None and connection.scope["type"] != ScopeType.WEBSOCKET:
            claims = read_token(context.settings.token_secret, token)
        else:
            claims = await _claims_of_ticket(context, connection)
        actor = None if claims is None else await actor_of(context, claims)
        return AuthenticationResult(user=actor, auth=claims)


def bearer_token(connection: Connection) -> str | None:
    header = connection.headers.get("authorization", "")
    return header[len(SCHEME) :] if header[: len(SCHEME)].lower() == SCHEME else None


async def actor_of(context: Context, claims: Claims) -> Actor | None:
    """Return the actor; None if the login session has ended or the account is disabled."""
    async with database.transaction(context.pool) as connection:
        if claims.is_api_token:
            found = await actor_store.actors_of_tokens(connection, token_ids=[claims.session_id])
        else:
            found = await actor_store.actors_of_sessions(
                connection, session_ids=[claims.session_id]
            )
    actor = found.get(claims.session_id)
    return actor if actor is not None and actor.id == claims.user_id else None


def socket_resource(path_template: str, path_params: Mapping[str, Any]) -> str:
    """Return the resource of a WebSocket for its ticket: the path below the API's path."""
    return path_template.removeprefix(f"{API}/").format(**path_params)


def resource_of_socket(connection: Connection) -> str:
    """Return the resource of a WebSocket that declares this function as its `TICKET`."""
    scope = connection.scope
    return socket_resource(scope["path_template"], scope["path_params"])


async def _claims_of_api_token(context: Context, token: str) -> Claims | None:
    """Return the claims of an API token; None if it is not valid.

    Raises:
        RequestError: 429, the token is used too often.
    """
    async with database.transaction(context.pool) as connection:
        found = await token_store.use(connection, secret_hash=hash_secret(token))
    if found is None:
        return None
    token_id, user_id = found
    context.token_uses.count(token_id)
    return Claims(user_id, token_id, is_api_token=True)


async def _claims_of_ticket(context: Context, connection: Connection) -> Claims | None:
    """Return the claims of the ticket in the address. A WebSocket uses its ticket up."""
    opt, ticket = connection.route_handler.opt, connection.query_params.get(TICKET)
    if TICKET not in opt or not ticket:
        return None
    resource = opt[TICKET](connection)
    if "\0" in resource:  # PostgreSQL refuses it, and no ticket is for such a resource
        return None
    is_socket = connection.scope["type"] == ScopeType.WEBSOCKET
    find = store.take_ticket if is_socket else store.find_ticket
    async with database.transaction(context.pool) as transaction:
        found = await find(transaction, secret_hash=hash_secret(ticket), resource=resource)
    return None if found is None else Claims(session_id=found[0], user_id=found[1])
