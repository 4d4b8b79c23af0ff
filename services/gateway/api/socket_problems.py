"""Problem documents for WebSockets that are refused before the upgrade."""

import asyncio
from typing import Any

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.api import problems

ERROR = "socket_error"  # key in the state of the scope
GRACE = 0.1  # seconds


async def remember(error: Exception, scope: Scope) -> None:
    """Store the error of a WebSocket, because Litestar only reports that the socket is closed."""
    if scope["type"] == ScopeType.WEBSOCKET:
        scope["state"][ERROR] = error


def answer_problems(app: ASGIApp) -> ASGIApp:
    """Wrap the application: answer a refused WebSocket with the problem document of its error."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        is_accepted = False

        async def send_problem(message: Message) -> None:
            nonlocal is_accepted
            is_accepted |= message["type"] == "websocket.accept"
            error: Exception | None = scope["state"].get(ERROR)
            if message["type"] != "websocket.close" or is_accepted or error is None:
                await send(message)
                return
            await _send_document(scope, send, error)
            # uvicorn logs an error when the application returns while its answer is being written.
            await asyncio.sleep(GRACE)

        await app(scope, receive, send_problem)

    return middleware


async def _send_document(scope: Scope, send: Send, error: Exception) -> None:
    document, headers = problems.of(error, path=scope["path"])
    document["request_id"] = scope["state"].get("request_id", "")
    names = {"Content-Type": problems.MEDIA_TYPE, **headers}
    # The types of Litestar lack "websocket.http.response", an extension of ASGI.
    start: Any = {
        "type": "websocket.http.response.start",
        "status": document["status"],
        "headers": [(name.lower().encode(), text.encode()) for name, text in names.items()],
    }
    body: Any = {"type": "websocket.http.response.body", "body": msgspec.json.encode(document)}
    await send(start)
    await send(body)
