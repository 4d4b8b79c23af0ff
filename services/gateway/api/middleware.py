"""Middleware for all requests: request id, security headers, metrics and access log."""

import asyncio
import re
import time
from secrets import token_hex
from typing import Any

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import Histogram

from services.gateway.api import errors
from services.gateway.api.open_requests import CLOSES_CONNECTION
from services.gateway.api.problem_types import ProblemType
from services.gateway.api.socket_problems import answer_problems

log = structlog.get_logger("access")

DURATION = Histogram(
    "flotilla_http_seconds",
    "Requests by method and status class",
    ["method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10),
)

REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline';"
    " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
HSTS = "max-age=31536000"  # a year


BODY_TIMEOUT = 60.0  # seconds without a byte of a request's body
# After that time, the average rate must be higher, without the time in which nobody reads.
BODY_MIN_RATE = 256  # bytes/s


def observed(app: ASGIApp, *, https: bool = False) -> ASGIApp:
    """Wrap the whole application, so that requests refused before routing are counted too.

    `https` is true if browsers reach the console over HTTPS only.
    """
    sockets = answer_problems(app)
    added = HEADERS | ({"Strict-Transport-Security": HSTS} if https else {})

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            await _observe(app, scope, _timed(receive), send, added)
        elif scope["type"] == ScopeType.WEBSOCKET:
            with structlog.contextvars.bound_contextvars(request_id=_identify(scope)):
                await sockets(scope, receive, send)
        else:
            await app(scope, receive, send)

    return middleware


def _identify(scope: Scope) -> str:
    """Return the request id from the client if it is well-formed, else a new one; store it."""
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    request_id = given if REQUEST_ID.fullmatch(given) else token_hex(8)
    scope.setdefault("state", {})["request_id"] = request_id
    return request_id


def _timed(receive: Receive) -> Receive:
    """Limit the time that a request waits for the next byte of its body, and for all of them.

    The wrapped function raises a `RequestError` when the time is over.
    """
    is_complete = False
    waited, received = 0.0, 0

    async def receive_timed() -> Any:
        nonlocal is_complete, waited, received
        if is_complete:
            return await receive()
        left = BODY_TIMEOUT + received / BODY_MIN_RATE - waited
        begin = time.monotonic()
        try:
            async with asyncio.timeout(min(left, BODY_TIMEOUT)):
                message = await receive()
        except TimeoutError:
            raise errors.RequestError(
                ProblemType.REQUEST_TIMEOUT,
                f"No byte of the body arrived for {BODY_TIMEOUT:g} s, or fewer than"
                f" {BODY_MIN_RATE} bytes/s. Send it again.",
            ) from None
        waited += time.monotonic() - begin
        if message["type"] == "http.request":
            received += len(message["body"])
        is_complete = message["type"] != "http.request" or not message["more_body"]
        return message

    return receive_timed


async def _observe(
    app: ASGIApp, scope: HTTPScope, receive: Receive, send: Send, added: dict[str, str]
) -> None:
    method, request_id = scope["method"], _identify(scope)
    started = time.perf_counter()
    status = 500

    async def send_observed(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = MutableScopeHeaders.from_message(message)
            headers["X-Request-Id"] = request_id
            headers["Content-Security-Policy"] = POLICY
            for name, value in added.items():
                headers[name] = value
            if scope["state"].get(CLOSES_CONNECTION):
                headers["Connection"] = "close"
            if scope["path"].startswith("/api/") and "Cache-Control" not in headers:
                headers["Cache-Control"] = "no-store"
        await send(message)

    with structlog.contextvars.bound_contextvars(request_id=request_id):
        try:
            await app(scope, receive, send_observed)
        finally:
            seconds = time.perf_counter() - started
            DURATION.labels(method, f"{status // 100}xx").observe(seconds)
            log.debug(
                "request",
                method=method,
                path=scope["path"],
                status=status,
                milliseconds=round(seconds * 1000, 1),
            )
