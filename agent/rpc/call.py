"""One gRPC call on a connection of its own: messages, flow control, keepalive and the status."""

import asyncio
import collections
import contextlib
import socket
import urllib.parse
from typing import cast

from agent.rpc import frames, headers
from agent.rpc.frames import Frame, FrameError
from agent.rpc.headers import HeaderError
from agent.rpc.status import HTTP_STATUSES, RESET_STATUSES, RpcError, Status

STREAM = 1
# The server may send this much before this client has processed it.
WINDOW = 1024 * 1024  # bytes
WRITE_BUFFER = 128 * 1024  # bytes that wait for the network before `send` waits
ANSWERS_LIMIT = 1024 * 1024  # bytes of answers that wait for the network
MESSAGE_LIMIT = 4 * 1024 * 1024  # bytes of a received message
HEADER_LIMIT = 64 * 1024  # bytes
PREFIX = 5  # bytes before each message: compressed or not, and the size
KEEPALIVE_TIME = 20.0  # seconds of silence before a ping
KEEPALIVE_TIMEOUT = 10.0  # seconds in which something must arrive then
CLOSE_TIMEOUT = 1.0  # seconds
NO_ERROR, CANCEL = b"\0\0\0\0", b"\0\0\0\x08"
USER_AGENT = b"flotilla-agent"


class Call(asyncio.Protocol):
    """A bidirectional call. One task may send and one may receive at a time."""

    def __init__(
        self,
        authority: str,
        path: str,
        *,
        timeout: float | None = None,
    ) -> None:
        self._authority = authority
        self._path = path
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._frames = frames.FrameReader()
        self._header_block = bytearray()
        self._header_flags = 0
        self._partial = bytearray()  # of a message
        self._messages: collections.deque[bytes] = collections.deque()
        self._has_response = False
        self._end: RpcError | None = None
        self._closed = asyncio.Event()
        self._changed = asyncio.Event()  # for the receiver
        # Sending
        self._paused = False
        self._writable = asyncio.Event()
        self._stream_window = self._connection_window = frames.DEFAULT_WINDOW
        self._initial_window = frames.DEFAULT_WINDOW
        # Receiving
        self._ungranted = 0  # bytes that were received since the last window update
        self._waiting_bytes = 0  # in `_messages`
        self._last_received = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WRITE_BUFFER)
        settings = {
            frames.HEADER_TABLE_SIZE: 0,
            frames.ENABLE_PUSH: 0,
            frames.INITIAL_WINDOW_SIZE: WINDOW,
            frames.MAX_HEADER_LIST_SIZE: HEADER_LIMIT,
        }
        fields = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":path", self._path.encode()),
            (b":authority", self._authority.encode()),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", USER_AGENT),
        ]
        if self._timeout is not None:
            fields.append((b"grpc-timeout", f"{self._timeout * 1000:.0f}m".encode()))
        block = headers.encode(fields)
        self._transport.write(
            frames.PREFACE
            + frames.build_settings(settings)
            + frames.build_window_update(0, WINDOW - frames.DEFAULT_WINDOW)
            + frames.build(frames.HEADERS, frames.END_HEADERS, STREAM, block)
        )
        self._last_received = self._loop.time()
        self._timer = self._loop.call_later(KEEPALIVE_TIME, self._check_silence)

    def data_received(self, data: bytes) -> None:
        self._last_received = self._loop.time()
        try:
            for frame in self._frames.feed(data):
                if self._end:
                    return
                self._handle(frame)
        except (FrameError, HeaderError) as error:
            self._fail(Status.INTERNAL, f"The server broke a rule of HTTP/2: {error}.")
        self._grant()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        reason = f": {exc}" if exc else ""
        self._fail(Status.UNAVAILABLE, f"The connection was lost{reason}.")
        self._closed.set()

    # Called by the user of the call

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """Send a message, as fast as the server and the network allow.

        Raises:
            RpcError: The call has ended.
        """
        data = memoryview(b"\0" + len(message).to_bytes(4, "big") + message)
        begun = False
        try:
            while data:
                size = await self._room(len(data))
                self._stream_window -= size
                self._connection_window -= size
                flags = frames.END_STREAM if last and size == len(data) else 0
                self._write(frames.DATA, flags, bytes(data[:size]))
                data, begun = data[size:], True
        except asyncio.CancelledError:
            if begun:
                self._fail(Status.CANCELLED, "A message was sent only in part.")
            raise

    async def receive(self) -> bytes | None:
        """Return the next message; None if the server ended the call without an error.

        Raises:
            RpcError: The call has ended, and all messages before its end were returned.
        """
        while not self._messages:
            if self._end:
                if self._end.code is Status.OK:
                    return None
                raise self._end
            self._changed.clear()
            await self._changed.wait()
        message = self._messages.popleft()
        self._waiting_bytes -= len(message)
        self._grant()
        return message

    async def close(self) -> None:
        """Cancel the call if it has not ended, and close the connection."""
        self._fail(Status.CANCELLED, "The call was cancelled.")
        try:
            await asyncio.wait_for(self._closed.wait(), CLOSE_TIMEOUT)
        except asyncio.TimeoutError:
            if self._transport:
                self._transport.abort()

    # Sending

    async def _room(self, wanted: int) -> int:
        """Wait until something can be sent. Return how many bytes."""
        while True:
            if self._end:
                raise self._end if self._end.code is not Status.OK else _closed_by_server()
            size = min(wanted, self._stream_window, self._connection_window, frames.FRAME_LIMIT)
            if size > 0 and not self._paused:
                return size
            self._writable.clear()
            await self._writable.wait()

    def _write(self, kind: int, flags: int, payload: bytes, stream: int = STREAM) -> None:
        if self._transport:
            self._transport.write(frames.build(kind, flags, stream, payload))

    def _grant(self) -> None:
        """Let the server send more, unless the receiver has not caught up."""
        if self._end or self._ungranted < WINDOW // 2 or self._waiting_bytes >= WINDOW:
            return
        for stream in (0, STREAM):
            if self._transport:
                self._transport.write(frames.build_window_update(stream, self._ungranted))
        self._ungranted = 0

    def _check_silence(self) -> None:
        """Send a ping after some silence; end the call if nothing follows."""
        silence = self._loop.time() - self._last_received
        if silence < KEEPALIVE_TIME:
            delay = KEEPALIVE_TIME - silence
        elif silence < KEEPALIVE_TIME + KEEPALIVE_TIMEOUT:
            self._write(frames.PING, 0, bytes(8), stream=0)
            delay = KEEPALIVE_TIME + KEEPALIVE_TIMEOUT - silence
        else:
            self._fail(Status.UNAVAILABLE, "The server does not answer pings.")
            return
        self._timer = self._loop.call_later(delay, self._check_silence)

    # Receiving

    def _handle(self, frame: Frame) -> None:
        if self._header_flags and frame.kind != frames.CONTINUATION:
            raise FrameError("headers that are not continued")
        match frame.kind:
            case frames.DATA if frame.stream == STREAM:
                self._add_data(frame)
            case frames.HEADERS if frame.stream == STREAM:
                self._header_flags = frame.flags | frames.PADDED  # never 0
                self._add_headers(frame, frames.unpadded(frame))
            case frames.CONTINUATION:
                self._add_headers(frame, frame.payload)
            case frames.RST_STREAM if frame.stream == STREAM:
                code = frames.parse_number(frame.payload)
                status = RESET_STATUSES.get(code, Status.INTERNAL)
                self._fail(status, f"The server reset the stream with the HTTP/2 error {code}.")
            case frames.SETTINGS if not frame.flags & frames.ACK:
                self._apply_settings(frame.payload)
            case frames.PING if not frame.flags & frames.ACK:
                self._acknowledge(frames.PING, frame.payload)
            case frames.GOAWAY:
                self._leave(frame.payload)
            case frames.WINDOW_UPDATE:
                self._extend_window(frame.stream, frames.parse_number(frame.payload))
            case frames.PUSH_PROMISE | frames.DATA | frames.HEADERS:
                raise FrameError("a stream that was not asked for")

    def _add_data(self, frame: Frame) -> None:
        self._ungranted += len(frame.payload)
        if self._ungranted > WINDOW:
            raise FrameError("more data than its window allows")
        if not self._has_response:
            raise FrameError("data before headers")
        self._partial += frames.unpadded(frame)
        while len(self._partial) >= PREFIX:
            size = int.from_bytes(self._partial[1:PREFIX], "big")
            if self._partial[0]:
                self._fail(Status.INTERNAL, "The server sent a compressed message.")
                return
            if size > MESSAGE_LIMIT:
                limit = f"the limit is {MESSAGE_LIMIT}"
                self._fail(
                    Status.RESOURCE_EXHAUSTED,
                    f"The server sent a message of {size} bytes; {limit}.",
                )
                return
            if len(self._partial) < PREFIX + size:
                break
            self._messages.append(bytes(self._partial[PREFIX : PREFIX + size]))
            self._waiting_bytes += size
            del self._partial[: PREFIX + size]
            self._changed.set()
        if frame.flags & frames.END_STREAM:
            self._fail(Status.INTERNAL, "The server ended the call without a status.")

    def _add_headers(self, frame: Frame, part: bytes) -> None:
        if not self._header_flags or frame.stream != STREAM:
            raise FrameError("a continuation without headers")
        self._header_block += part
        if len(self._header_block) > HEADER_LIMIT:
            raise FrameError(f"headers of more than {HEADER_LIMIT} bytes")
        if not frame.flags & frames.END_HEADERS:
            return
        fields = dict(headers.decode(bytes(self._header_block)))
        ended = self._header_flags & frames.END_STREAM
        self._header_block.clear()
        self._header_flags = 0
        if not self._has_response:
            self._check_response(fields)
        if ended and not self._end:
            self._finish(fields)

    def _check_response(self, fields: dict[bytes, bytes]) -> None:
        status = fields.get(b":status", b"").decode(errors="replace")
        if status.startswith("1"):
            return  # an interim response
        self._has_response = True
        if status != "200":
            code = HTTP_STATUSES.get(status, Status.UNKNOWN)
            self._fail(code, f"The server answered with the HTTP status {status}.")
        elif not fields.get(b"content-type", b"").startswith(b"application/grpc"):
            self._fail(Status.UNKNOWN, "The server does not speak gRPC.")

    def _finish(self, fields: dict[bytes, bytes]) -> None:
        try:
            code = Status(int(fields.get(b"grpc-status", b"")))
        except ValueError:
            code = Status.UNKNOWN
        message = urllib.parse.unquote_to_bytes(fields.get(b"grpc-message", b""))
        details = message.decode(errors="replace")
        if code is Status.OK and self._partial:
            code, details = Status.INTERNAL, "The server ended the call within a message."
        self._fail(code, details)

    def _apply_settings(self, payload: bytes) -> None:
        for name, value in frames.parse_settings(payload):
            if name == frames.INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._initial_window
                self._initial_window = value
        self._acknowledge(frames.SETTINGS, b"")
        self._writable.set()

    def _acknowledge(self, kind: int, payload: bytes) -> None:
        """Answer, unless the server asks without reading the answers."""
        if self._transport and self._transport.get_write_buffer_size() > ANSWERS_LIMIT:
            self._fail(Status.UNAVAILABLE, "The server does not read what it asked for.")
            return
        self._write(kind, frames.ACK, payload, stream=0)

    def _extend_window(self, stream: int, size: int) -> None:
        if stream == STREAM:
            self._stream_window += size
        elif stream == 0:
            self._connection_window += size
        if max(self._stream_window, self._connection_window) > frames.LARGEST_WINDOW:
            raise FrameError("a window that is too large")
        self._writable.set()

    def _leave(self, payload: bytes) -> None:
        """Go on until the server ends the call, if it says that it still serves this call."""
        if len(payload) < 8:
            raise FrameError("a short GOAWAY frame")
        if frames.parse_number(payload[:4]) < STREAM:
            reason = payload[8:].decode(errors="replace") or "without a reason"
            self._fail(Status.UNAVAILABLE, f"The server refused the call: {reason}.")

    # The end

    def _fail(self, code: Status, details: str) -> None:
        """End the call, unless it has ended, and begin to close the connection."""
        if self._end:
            return
        self._end = RpcError(code, details)
        if self._timer:
            self._timer.cancel()
        if self._transport:
            self._write(frames.RST_STREAM, 0, CANCEL)
            self._write(frames.GOAWAY, 0, bytes(4) + NO_ERROR, stream=0)
            connection = self._transport.get_extra_info("socket")
            self._transport.close()
            # The libraries of gRPC ignore the end of TLS, but not the end of TCP.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        self._changed.set()
        self._writable.set()


def _closed_by_server() -> RpcError:
    return RpcError(Status.CANCELLED, "The server ended the call.")
