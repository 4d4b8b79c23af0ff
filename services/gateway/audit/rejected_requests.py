"""Audits rejected requests that have no other audit entry.

This covers requests that change something or read something on a host, if they are rejected early:
malformed values, a body that is too large, a path instead of an id, or a limit that was reached. The
action in the entry is that of the route. If no route matches, it is taken from the routes whose paths
begin like the path of the request.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.routes import BaseRoute, HTTPRoute, WebSocketRoute
from litestar.types import Scope
from litestar.types.internal_types import PathParameterDefinition

from services.gateway.accounts.authentication import bearer_token
from services.gateway.accounts.tokens import read_token
from services.gateway.api.errors import RequestError
from services.gateway.api.problem_types import KINDS, ProblemType
from services.gateway.api.request_audit import Connection, RequestAudit
from services.gateway.api.rules import ACTION
from services.gateway.context import Context
from services.kit.access import Action, Actor, reaches_host

UNKNOWN = "there is no such address"
WRONG_METHOD = "the address does not accept this method"

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
# Failures of reads on the host, for example because it is offline, are not refusals by the gateway.
_REFUSED_READS = frozenset({ProblemType.NOT_FOUND, ProblemType.FORBIDDEN})


async def record(error: Exception, scope: Scope) -> None:
    """Write an audit entry if the caller is known and the request has none yet."""
    connection: Connection = Connection(scope)
    audit = RequestAudit(connection)
    if audit.is_written or (status := _status(error)) is None:
        return
    handler = scope.get("route_handler")
    if handler is None:
        _record_unknown(
            connection, WRONG_METHOD if status == HTTPStatus.METHOD_NOT_ALLOWED else UNKNOWN
        )
        return
    action = handler.opt.get(ACTION)
    if not isinstance(action, Action) or not isinstance(scope.get("user"), Actor):
        return
    if not _is_read(scope) or (reaches_host(action) and _is_refused_read(error)):
        audit.refused(
            _reason(error, status),
            object_id=_object_id(scope["path_params"]),
            detail=connection.query_params.get("path", ""),
        )


def _status(error: Exception) -> int | None:
    """Return the status of an error that the request caused; None for other errors."""
    if isinstance(error, RequestError):
        status = error.status
    elif isinstance(error, ValidationException):
        status = KINDS[ProblemType.VALIDATION].status
    elif isinstance(error, HTTPException):
        status = error.status_code
    elif isinstance(error, RecursionError | UnicodeError):
        status = HTTPStatus.BAD_REQUEST
    else:
        return None
    return status if status < HTTPStatus.INTERNAL_SERVER_ERROR else None


def _is_read(scope: Scope) -> bool:
    return scope["type"] == ScopeType.WEBSOCKET or scope["method"] in _READS


def _is_refused_read(error: Exception) -> bool:
    return not isinstance(error, RequestError) or error.type in _REFUSED_READS


def _record_unknown(connection: Connection, reason: str) -> None:
    context: Context = connection.app.state.context
    token = bearer_token(connection)
    claims = None if token is None else read_token(context.settings.token_secret, token)
    area, path_params = nearest_area(connection.app, connection.scope["path"])
    if claims is not None and area:
        RequestAudit(connection).refused(
            reason,
            object_id=_object_id(path_params),
            action=f"{area}.request",
            actor=f"user:{claims.user_id}",
        )


def nearest_area(app: Litestar, path: str) -> tuple[str, dict[str, str]]:
    """Return the area of actions that a path without a route belongs to, and its parameters.

    The routes with the longest common beginning with the path decide. If all of them reach a host and
    belong to one area, return this area, otherwise an empty text.
    """
    asked = path.strip("/").split("/")
    longest, areas, path_params = 0, set[str](), dict[str, str]()
    for route in app.routes:
        common = _common(route.path_components, asked)
        if len(common) < longest or not common:
            continue
        if len(common) > longest:
            longest, areas = len(common), set()
            path_params = _parameters(route.path_components, common)
        areas |= _areas(route)
    return (areas.pop() if len(areas) == 1 else ""), path_params


def _common(components: Sequence[str | PathParameterDefinition], asked: list[str]) -> list[str]:
    """Return the beginning of `asked` that fits the components of a route's path."""
    fitting = 0
    for component, text in zip(components, asked, strict=False):
        if isinstance(component, str) and component != text:
            break
        if not isinstance(component, str) and not _fits(component, text):
            break
        fitting += 1
    return asked[:fitting]


def _fits(parameter: PathParameterDefinition, text: str) -> bool:
    try:
        if parameter.parser is not None:
            parameter.parser(text)
    except ValueError:
        return False
    return True


def _parameters(
    components: Sequence[str | PathParameterDefinition], asked: list[str]
) -> dict[str, str]:
    pairs = zip(components, asked, strict=False)
    return {component.name: text for component, text in pairs if not isinstance(component, str)}


def _areas(route: BaseRoute) -> set[str]:
    """Return the areas of the actions of a route's handlers; "" for those that reach no host."""
    handlers: Sequence[BaseRouteHandler] = ()
    if isinstance(route, HTTPRoute):
        handlers = route.route_handlers
    elif isinstance(route, WebSocketRoute):
        handlers = [route.route_handler]
    actions = [handler.opt.get(ACTION) for handler in handlers]
    return {
        action.partition(".")[0] if reaches_host(action) else ""
        for action in actions
        if isinstance(action, Action)
    }


def _object_id(path_params: dict[str, Any]) -> str:
    return f"vps:{path_params['vps_id']}" if "vps_id" in path_params else ""


def _reason(error: Exception, status: int) -> str:
    """Return which fields are wrong, and never their values, which may be secret."""
    if isinstance(error, RequestError):
        return str(error)
    items = error.extra if isinstance(error, HTTPException) else None
    fields = [
        str(item.get("key", ""))
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict)
    ]
    return f"{status}: {', '.join(fields) or 'malformed'}"
