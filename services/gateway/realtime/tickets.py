"""One-time tickets that open WebSockets."""

from datetime import timedelta
from typing import Any

import msgspec
from litestar import Controller, Litestar, post
from litestar.exceptions import HTTPException
from litestar.handlers import WebsocketRouteHandler
from litestar.params import JSONBody

from services.gateway.accounts.authentication import AuthedRequest, socket_resource
from services.gateway.accounts.tickets import create_ticket
from services.gateway.api import errors
from services.gateway.api.request_audit import UseAudit
from services.gateway.api.rules import ACTION, API
from services.gateway.api.transaction import UseConnection
from services.gateway.realtime.schemas import Ticket, TicketRequest
from services.gateway.servers import access
from services.gateway.servers import store as server_store
from services.kit.access import Action

LIFETIME = timedelta(seconds=30)


class TicketController(Controller):
    path = "/ws-tickets"
    tags = ("Live data",)

    @post(
        operation_id="createTicket",
        summary="Create a ticket that opens one WebSocket once, within 30 s",
        opt={ACTION: Action.FLEET_READ},
    )
    async def create(
        self,
        request: AuthedRequest,
        data: JSONBody[TicketRequest],
        db: UseConnection,
        audit: UseAudit,
    ) -> Ticket:
        try:
            handler, resource, path_params = find_socket(request.app, data.resource)
        except errors.RequestError as error:
            audit.refused(str(error), action="ticket.create", detail=data.resource)
            raise
        if "vps_id" in path_params:
            server = await server_store.get(db, vps_id=path_params["vps_id"])
            access.check_owned(server, request.user, handler.opt[ACTION], audit)
        secret, expires_at = await create_ticket(
            db, actor=request.user, resource=resource, lifetime=LIFETIME
        )
        return Ticket(secret, expires_at)


def find_socket(app: Litestar, path: str) -> tuple[WebsocketRouteHandler, str, dict[str, Any]]:
    """Return the handler of a WebSocket, its ticket's resource, and the parameters of its path.

    Raises:
        RequestError: the API has no such WebSocket.
    """
    below = path.strip("/").removeprefix(API.strip("/")).strip("/")
    try:
        _, handler, _, path_params, template = app.asgi_router.handle_routing(
            path=f"{API}/{below}", method=None
        )
    except HTTPException:
        handler, path_params, template = None, {}, ""
    if not isinstance(handler, WebsocketRouteHandler) or not _are_valid(handler, path_params):
        raise errors.invalid(
            "`resource` is the path of a WebSocket, such as `fleet/realtime`.", "resource"
        )
    return handler, socket_resource(template, path_params), path_params


def _are_valid(handler: WebsocketRouteHandler, path_params: dict[str, Any]) -> bool:
    """Tell whether the parameters of a path have the types that the handler declares."""
    declared = handler.signature_model.__annotations__
    try:
        for name in path_params.keys() & declared.keys():
            msgspec.convert(path_params[name], declared[name])
    except msgspec.ValidationError:
        return False
    return True
