"""Long requests, which are ended when their caller loses the right to them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from litestar.enums import ScopeType
from litestar.status_codes import HTTP_400_BAD_REQUEST
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Counter, Gauge

from services.gateway.api import errors
from services.gateway.api.rules import ACTION, LONG
from services.kit.access import Action, Actor

OPEN = Gauge("flotilla_gateway_open_requests", "Requests that are being answered, and WebSockets")
REVOKED = Counter(
    "flotilla_gateway_revoked_requests_total",
    "Open requests that were ended because their caller lost the right",
)
# In the state of a scope.
CLOSES_CONNECTION = "closes_connection"
_KEY = "open_request"


@dataclass(eq=False, slots=True)
class OpenRequest:
    """A request of a logged-in user, or a WebSocket."""

    actor: Actor
    action: Action
    vps_id: UUID | None
    """Server that the address names."""
    run_id: UUID | None
    """Run that the address names."""
    can_be_revoked: bool
    """True for WebSockets, for uploads once the caller's right to the server was checked, and for
    other requests once their successful answer began.

    It is false until then for two reasons: the request itself may remove the caller's right, and a
    caller who never had the right must get the answer of the check.
    """
    run_servers: frozenset[UUID] | None = None
    """Servers of the run when this request was checked first."""
    revoked: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[Any] | None = None

    def revoke(self) -> None:
        """End the request. A WebSocket ends by itself when `revoked` is set."""
        if self.revoked.is_set():
            return
        self.revoked.set()
        REVOKED.inc()
        if self._task is not None:
            self._task.cancel()


class OpenRequests:
    """The open requests of this gateway."""

    def __init__(self) -> None:
        self._requests: set[OpenRequest] = set()

    def __iter__(self) -> Iterator[OpenRequest]:
        return iter(list(self._requests))

    def add(self, request: OpenRequest) -> None:
        self._requests.add(request)
        OPEN.set(len(self._requests))

    def remove(self, request: OpenRequest) -> None:
        self._requests.discard(request)
        OPEN.set(len(self._requests))


def of_scope(scope: Scope) -> OpenRequest:
    """Return the open request of a connection that has an actor."""
    found: OpenRequest = scope["state"][_KEY]
    return found


def allow_revocation(scope: Scope) -> None:
    """Allow a long request to be ended from now on: its caller's right to the server was checked."""
    if scope["route_handler"].opt.get(LONG) is True:
        of_scope(scope).can_be_revoked = True


def remembered(app: ASGIApp) -> ASGIApp:
    """Register each authenticated request while it is open, and end it when it is revoked."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        request = _open_request(scope)
        if request is None:
            await app(scope, receive, send)
            return
        is_answering = False

        async def send_observed(message: Message) -> None:
            nonlocal is_answering
            if message["type"] == "http.response.start":
                is_answering = True
                request.can_be_revoked = message["status"] < HTTP_400_BAD_REQUEST
            await send(message)

        open_requests: OpenRequests = scope["litestar_app"].state.context.open_requests
        scope.setdefault("state", {})[_KEY] = request
        open_requests.add(request)
        try:
            await app(scope, receive, send_observed)
        except asyncio.CancelledError:
            if not request.revoked.is_set():
                raise
            _uncancel()
            # The answer has begun and stays incomplete, so the server closes the connection.
            if not is_answering:
                scope["state"][CLOSES_CONNECTION] = True  # the client may still be sending
                raise errors.unauthenticated(
                    "You no longer have the right to do this. Log in again."
                ) from None
        finally:
            open_requests.remove(request)

    return middleware


def _uncancel() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()


def _open_request(scope: Scope) -> OpenRequest | None:
    actor: Actor | None = scope.get("user")
    opt = scope["route_handler"].opt
    action = opt.get(ACTION)
    if actor is None or not isinstance(action, Action):
        return None
    is_socket = scope["type"] == ScopeType.WEBSOCKET
    named: dict[str, Any] = scope["path_params"]
    return OpenRequest(
        actor,
        action,
        vps_id=named.get("vps_id"),
        run_id=named.get("run_id"),
        can_be_revoked=is_socket,
        _task=None if is_socket else asyncio.current_task(),
    )
