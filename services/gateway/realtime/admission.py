"""Rules of open WebSockets."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog
from litestar import WebSocket
from litestar.exceptions import WebSocketDisconnect

from services.gateway.accounts.authentication import resource_of_socket
from services.gateway.accounts.tokens import Claims
from services.gateway.api.open_requests import of_scope
from services.gateway.api.rules import ACTION, TICKET
from services.kit.access import Action, Actor

log = structlog.get_logger(__name__)

SEND_TIMEOUT = 30.0  # seconds before a viewer that takes nothing is given up
# Close codes from RFC 6455, and 4401, which is derived from HTTP status 401.
NORMAL = 1000
LOGGED_OUT = 4401

Socket = WebSocket[Actor, Claims, Any]


def rule(action: Action) -> dict[str, Any]:
    """Return the `opt` of a WebSocket that is opened with a ticket for its address."""
    return {ACTION: action, TICKET: resource_of_socket}


async def relay(socket: Socket, *parts: Callable[[], Awaitable[None]]) -> int:
    """Run the parts until one returns or the viewer loses the right. Return the close code."""
    watch = asyncio.create_task(of_scope(socket.scope).revoked.wait(), name="watch")
    tasks = [watch, *(asyncio.ensure_future(part()) for part in parts)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return LOGGED_OUT if watch.done() else NORMAL
    finally:
        for task in tasks:
            task.cancel()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(error, Exception) and not isinstance(error, WebSocketDisconnect):
                log.error("socket_failed", path=socket.url.path, exc_info=error)


async def close(socket: Socket, code: int) -> None:
    """Close a socket that the viewer may have left by now."""
    with suppress(WebSocketDisconnect, RuntimeError, OSError):
        await socket.close(code=code)
