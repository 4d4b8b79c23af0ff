"""Guard that refuses requests which the rule of their route does not allow.

A route declares its action in `opt`, or that it is public. Requests to a route that declares
neither are refused, so a forgotten rule never opens a route.
"""

from litestar.enums import HttpMethod, ScopeType
from litestar.exceptions import MethodNotAllowedException
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute

from services.gateway.api import errors
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.request_audit import Connection, RequestAudit
from services.gateway.api.rules import ACTION, PUBLIC, TICKET
from services.kit.access import Action, Actor, allow, only_object


def check_route(connection: Connection, handler: BaseRouteHandler) -> None:
    """Check the rule of the route.

    Raises:
        RequestError: the route has no rule, or its rule does not allow the caller.
        MethodNotAllowedException: the method is OPTIONS.
    """
    if handler.opt.get(PUBLIC) is True:
        return
    _refuse_options(connection)
    action = handler.opt.get(ACTION)
    if not isinstance(action, Action):
        raise errors.forbidden("This address has no rule, so nobody may use it.")
    actor: Actor | None = connection.scope.get("user")
    audit = RequestAudit(connection)
    if actor is None:
        audit.refused("no valid ticket or access token")
        raise _unauthenticated(connection, handler)
    # If the request names an object, the dependency that finds the object decides.
    only = only_object(action)
    if only is not None and not allow(actor, action, only):
        audit.refused("not allowed")
        raise errors.forbidden()


def _refuse_options(connection: Connection) -> None:
    """Refuse OPTIONS like any other method that an address does not accept.

    Litestar answers it by itself, and names only some of the methods of an address that several
    controllers share. Browsers need no answer, because the API allows no other origins.
    """
    scope = connection.scope
    if scope["type"] != ScopeType.HTTP or scope["method"] != HttpMethod.OPTIONS:
        return
    methods = {
        HttpMethod(method).value
        for route in connection.app.routes
        if isinstance(route, HTTPRoute) and route.path_format == scope["path_template"]
        for method in route.methods
    }
    allowed = ", ".join(sorted(methods - {HttpMethod.OPTIONS.value}))
    raise MethodNotAllowedException(headers={"allow": allowed})


def _unauthenticated(connection: Connection, handler: BaseRouteHandler) -> errors.RequestError:
    if TICKET in handler.opt and (
        connection.scope["type"] == ScopeType.WEBSOCKET or TICKET in connection.query_params
    ):
        return errors.RequestError(
            ProblemType.INVALID_TICKET,
            "The ticket is missing, expired, already used, or valid for another address only."
            " Create a new one.",
        )
    return errors.unauthenticated(
        "The access token is missing or has expired. Renew it, or log in again."
    )
