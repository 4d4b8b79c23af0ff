"""Limits of HTTP connections, which uvicorn's parser does not have.

httptools parses any amount of headers, and neither uvicorn nor httptools has a time limit for
them. uvicorn's other parser, h11, limits their size only, and takes twice the time per request.
The protocols here are set as uvicorn's `http` and `ws`.
"""

from asyncio import TimerHandle, Transport
from secrets import token_hex

import msgspec
from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import HeaderLineTooLong, RequestLineTooLong, TooManyHeaders

from services.gateway.accounts.login import network_of
from services.gateway.api.problem_types import KINDS, ProblemType
from services.kit.fair_places import FairPlaces

# Connections that have not sent their headers yet. A browser sends them within milliseconds.
UNFINISHED, UNFINISHED_PER_ADDRESS = 2_000, 200
MAX_HEAD = 64 * 1024  # bytes of the request line and all headers, and of the trailers
HEAD_TIMEOUT = 10.0  # seconds from a connection, or from the first byte of a request, to its body
LINE_COST = 4  # bytes of a header beside its name and its value
TOO_LARGE = f"The request line and the headers have more than {MAX_HEAD} bytes."

REFUSED = Counter(
    "flotilla_http_refused_total", "Requests refused before they were read, by status", ["status"]
)


class TooLargeError(Exception):
    """The headers of a request are too large."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """An HTTP connection with limits on the size and the time of the headers of each request."""

    head_timeout = HEAD_TIMEOUT
    unfinished: FairPlaces["LimitedHttpProtocol"] = FairPlaces(UNFINISHED, UNFINISHED_PER_ADDRESS)

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # uvicorn's
        super().connection_made(transport)
        self._head_size = 0
        self._unused_size = 0
        self._head_timer: TimerHandle | None = None
        self._is_refused = False
        self._network = network_of(self.client[0]) if self.client else ""
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._unused_size += len(data)
        super().data_received(data)
        # The parser keeps a line until it is complete.
        if self._unused_size > MAX_HEAD and not self._is_refused:
            self._refuse(ProblemType.HEADERS_TOO_LARGE, TOO_LARGE)

    def send_400_response(self, msg: str) -> None:
        # httptools reports an error in a callback as its own.
        if self._head_size > MAX_HEAD:
            self._refuse(ProblemType.HEADERS_TOO_LARGE, TOO_LARGE)
        else:
            self._refuse(ProblemType.MALFORMED_REQUEST, msg)

    def handle_websocket_upgrade(self) -> None:
        self._stop_waiting()
        super().handle_websocket_upgrade()

    # --- callbacks of the parser ---

    def on_message_begin(self) -> None:
        self._head_size = self._unused_size = 0
        if self._head_timer is None:
            self._wait_for_head()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._grow(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._grow(len(name) + len(value) + LINE_COST)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unused_size = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unused_size = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unused_size = 0
        super().on_message_complete()

    # --- limits ---

    def _grow(self, size: int) -> None:
        self._head_size += size
        if self._head_size > MAX_HEAD:
            raise TooLargeError

    def _wait_for_head(self) -> None:
        displaced = self.unfinished.enter(self._network, self)
        if displaced is not None:
            displaced.refuse_unfinished()
        self._head_timer = self.loop.call_later(self.head_timeout, self._head_is_late)

    def _stop_waiting(self) -> None:
        self.unfinished.leave(self._network, self)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def refuse_unfinished(self) -> None:
        self._refuse(ProblemType.BUSY, "Too many connections have not sent their headers.")

    def _head_is_late(self) -> None:
        self._stop_waiting()
        if self._is_answering():
            # A pipelined request is not read until the previous request has been answered.
            self._wait_for_head()
            return
        self._refuse(
            ProblemType.REQUEST_TIMEOUT,
            f"The headers did not arrive within {self.head_timeout:g} s.",
        )

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, type_: ProblemType, detail: str) -> None:
        """Answer and close the connection. If another answer is being sent, only close it."""
        self._is_refused = True
        self._stop_waiting()
        answer = refusal(type_, detail)
        if not (self._is_answering() and self.cycle.response_started):
            self.transport.write(answer)
        self.transport.close()


class LimitedSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket whose handshake is answered even if its parser refuses it."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # The HTTP connection passes the whole handshake in one piece.
        if not self.handshake_initiated and not self.close_sent:
            self.close_sent = True
            too_large = isinstance(
                self.conn.handshake_exc, RequestLineTooLong | HeaderLineTooLong | TooManyHeaders
            )
            answer = (
                refusal(ProblemType.HEADERS_TOO_LARGE, str(self.conn.handshake_exc))
                if too_large
                else refusal(ProblemType.MALFORMED_REQUEST, "The handshake cannot be read.")
            )
            self.transport.write(answer)
            self.transport.close()


def refusal(type_: ProblemType, detail: str) -> bytes:
    """Count a refusal, and return a whole response that closes its connection."""
    kind = KINDS[type_]
    REFUSED.labels(str(kind.status)).inc()
    document = {
        "type": type_,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "request_id": token_hex(8),
    }
    body = msgspec.json.encode(document)
    lines = [
        f"HTTP/1.1 {kind.status} {kind.title}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
