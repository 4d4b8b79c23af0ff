"""One gRPC stream on its own TLS connection, for a process that holds thousands of streams.

It implements only the parts of HTTP/2 (RFC 9113) that one long stream needs. grpc.aio uses about ten
times the CPU per message, which the measured services would lack on a small machine.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
HEADER_TABLE_SIZE, ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 4, 5
FRAME_BYTES = 16_384  # every peer accepts this size
WINDOW = 65_535  # bytes, until the peer announces another size
OUR_WINDOW = 1 << 20  # bytes that the peer may send without an update from us
STREAM_ID = 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATH = b"/flotilla.v1.AgentCommunication/EstablishCommunicationStream"
STATUS_NAMES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"),
    *("ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"),
    *("ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    "UNAUTHENTICATED",
)
# Names of the static table that literals in this stream's headers may refer to.
STATIC_NAMES = {8: b":status", 31: b"content-type"}

_frame_header = struct.Struct(">BHBBI").pack
_message_header = struct.Struct(">BI").pack


class Listener(Protocol):
    def received(self, message: bytes) -> None: ...

    def ended(self, status: str, detail: str) -> None:
        """Called once. The status is `LOST` if the connection ended without one."""


class GrpcStream(asyncio.Protocol):
    __slots__ = (
        "_blocked",
        "_frames",
        "_listener",
        "_max_frame",
        "_message",
        "_opening",
        "_over",
        "_peer_initial",
        "_read",
        "_room",
        "_room_all",
        "_transport",
    )

    def __init__(self, opening: bytes, listener: Listener) -> None:
        self._opening = opening
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._frames = b""
        self._message = b""
        self._room_all = self._room = self._peer_initial = WINDOW
        self._max_frame = FRAME_BYTES
        self._read = 0
        self._blocked: deque[bytes] = deque()
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The transports of uvloop do not inherit from asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._opening)

    def send(self, message: bytes, *, claimed: int | None = None) -> None:
        """Send a message, or the beginning of one that has `claimed` bytes."""
        if self._over:
            return
        data = _message_header(0, len(message) if claimed is None else claimed) + message
        while len(data) > self._max_frame:
            self._send_frame(data[: self._max_frame])
            data = data[self._max_frame :]
        self._send_frame(data)

    def abort(self) -> None:
        """Close the connection at once. The listener is not called any more."""
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait for the peer's window or for the network."""
        waiting = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return waiting + sum(map(len, self._blocked))

    def _send_frame(self, data: bytes) -> None:
        if self._blocked or len(data) > self._room or len(data) > self._room_all:
            self._blocked.append(data)
            return
        self._room -= len(data)
        self._room_all -= len(data)
        self._write(DATA, 0, STREAM_ID, data)

    def _write(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._transport is not None:
            length = len(payload)
            header = _frame_header(length >> 16, length & 0xFFFF, kind, flags, stream)
            self._transport.write(header + payload)

    def data_received(self, data: bytes) -> None:
        if self._frames:
            data = self._frames + data
        at, size = 0, len(data)
        while size - at >= 9:
            body = at + 9
            end = body + (data[at] << 16 | data[at + 1] << 8 | data[at + 2])
            if end > size:
                break
            kind, flags = data[at + 3], data[at + 4]
            if kind == DATA:
                self._on_data(data[body:end])
            else:
                self._on_control(kind, flags, data[at + 5 : at + 9], data[body:end])
            at = end
        self._frames = data[at:]

    def _on_data(self, data: bytes) -> None:
        self._read += len(data)
        if self._read > OUR_WINDOW // 2:
            grant = struct.pack(">I", self._read)
            self._write(WINDOW_UPDATE, 0, 0, grant)
            self._write(WINDOW_UPDATE, 0, STREAM_ID, grant)
            self._read = 0
        if self._message:
            data = self._message + data
        at, size = 0, len(data)
        while size - at >= 5:
            end = at + 5 + int.from_bytes(data[at + 1 : at + 5], "big")
            if end > size:
                break
            if self._over:
                return
            self._listener.received(data[at + 5 : end])
            at = end
        self._message = data[at:]

    def _on_control(self, kind: int, flags: int, stream: bytes, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            grant = int.from_bytes(payload, "big")
            if int.from_bytes(stream, "big") == STREAM_ID:
                self._room += grant
            else:
                self._room_all += grant
            self._unblock()
        elif kind == SETTINGS and not flags & ACK:
            self._apply_settings(payload)
        elif kind == PING and not flags & ACK:
            self._write(PING, ACK, 0, payload)
        elif kind == HEADERS and flags & END_STREAM:
            fields = decode_headers(payload)
            code = fields.get(b"grpc-status", b"2").decode()
            name = STATUS_NAMES[int(code)] if code.isdecimal() and int(code) < 17 else code
            self._end(name, fields.get(b"grpc-message", b"").decode(errors="replace"))
        elif kind == RST_STREAM:
            self._end("LOST", f"stream reset with {int.from_bytes(payload, 'big')}")

    def _apply_settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == INITIAL_WINDOW_SIZE:
                self._room += value - self._peer_initial
                self._peer_initial = value
            elif name == MAX_FRAME_SIZE:
                self._max_frame = min(value, FRAME_BYTES)
        self._write(SETTINGS, ACK, 0, b"")
        self._unblock()

    def _unblock(self) -> None:
        while self._blocked and len(self._blocked[0]) <= min(self._room, self._room_all):
            data = self._blocked.popleft()
            self._room -= len(data)
            self._room_all -= len(data)
            self._write(DATA, 0, STREAM_ID, data)

    def connection_lost(self, error: Exception | None) -> None:
        self._end("LOST", "closed by the peer" if error is None else type(error).__name__)

    def _end(self, status: str, detail: str) -> None:
        if self._over:
            return
        self._over = True
        if self._transport is not None:
            self._transport.abort()
        self._listener.ended(status, detail)


def opening(authority: str, path: bytes = PATH) -> bytes:
    """Return the first bytes of a connection: settings and the call."""
    settings = b"".join(
        struct.pack(">HI", name, value)
        for name, value in (
            (HEADER_TABLE_SIZE, 0),  # no state between header blocks
            (ENABLE_PUSH, 0),
            (INITIAL_WINDOW_SIZE, OUR_WINDOW),
        )
    )
    call = call_headers(authority, path)
    grant = struct.pack(">I", OUR_WINDOW - WINDOW)
    return (
        PREFACE
        + _frame_header(0, len(settings), SETTINGS, 0, 0)
        + settings
        + _frame_header(0, len(grant), WINDOW_UPDATE, 0, 0)
        + grant
        + _frame_header(0, len(call), HEADERS, END_HEADERS, STREAM_ID)
        + call
    )


def call_headers(authority: str, path: bytes = PATH) -> bytes:
    """The header block of a call."""
    # Indices of HPACK's static table (RFC 7541, appendix A), values as plain literals.
    return b"".join(
        (
            *(b"\x83", b"\x87"),  # :method POST, :scheme https
            *(b"\x04", _literal(path), b"\x01", _literal(authority.encode())),
            *(b"\x0f\x10", _literal(b"application/grpc")),
            b"\x00\x02te\x08trailers",
        )
    )


def tls(authority: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority))
    context.set_alpn_protocols(["h2"])
    return context


async def connect(
    host: str, port: int, context: ssl.SSLContext, make: Callable[[], GrpcStream]
) -> GrpcStream:
    _, stream = await asyncio.get_running_loop().create_connection(make, host, port, ssl=context)
    return stream


def _literal(text: bytes) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text


def decode_headers(block: bytes) -> dict[bytes, bytes]:
    """Return the literal fields of a header block that does not use the dynamic table."""
    fields: dict[bytes, bytes] = {}
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:
            _, at = _integer(block, at, 7)
        elif first & 0xE0 == 0x20:
            _, at = _integer(block, at, 5)
        else:
            index, at = _integer(block, at, 6 if first & 0x40 else 4)
            name = STATIC_NAMES.get(index, b"")
            if index == 0:
                name, at = _string(block, at)
            value, at = _string(block, at)
            fields[name] = value
    return fields


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    value = block[at] & most
    at += 1
    if value < most:
        return value, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """Return a literal. Huffman-coded ones stay encoded; gRPC servers do not send them."""
    length, at = _integer(block, at, 7)
    return block[at : at + length], at + length
