"""Connections of hostile clients, each from one of many addresses, and what became of them."""

from __future__ import annotations

import asyncio
import random
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import grpc_stream
from tests.bench.grpc_stream import GrpcStream

HOST = "127.0.0.1"
ADDRESSES = [f"127.0.{net}.{host}" for net in range(1, 5) for host in range(1, 11)]
# Longer than every limit of the services: 60 s without a byte of a body is the longest.
PATIENCE = 100.0  # seconds
KEPT_OPEN = "kept open"
CLOSED = "closed"
READ_BYTES = 65_536

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Target:
    edge: int
    gateway: int
    tls: ssl.SSLContext

    @property
    def authority(self) -> str:
        return f"{HOST}:{self.edge}"


def target(edge: int, gateway: int, authority: Path) -> Target:
    return Target(edge, gateway, grpc_stream.tls(authority))


def address() -> str:
    return random.choice(ADDRESSES)


@asynccontextmanager
async def connected(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Ends]:
    """Connect from one of the addresses; the connection is aborted when the block ends."""
    reader, writer = await asyncio.open_connection(
        HOST, port, ssl=tls, local_addr=(address(), 0), limit=READ_BYTES
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ending(reader: asyncio.StreamReader) -> str:
    """Read until the server closes the connection; tell if it did, and its first HTTP status."""
    first = b""
    try:
        async with asyncio.timeout(PATIENCE):
            while data := await reader.read(READ_BYTES):
                first = first or data[:16]
    except TimeoutError:
        return KEPT_OPEN
    except OSError:
        pass
    status = first.removeprefix(b"HTTP/1.1 ")[:3]
    return f"HTTP {status.decode()}" if first.startswith(b"HTTP/1.1") else CLOSED


async def drip(writer: asyncio.StreamWriter, data: bytes, interval: float) -> None:
    """Send one byte at a time, until all is sent or the connection is lost."""
    for number in range(len(data)):
        writer.write(data[number : number + 1])
        await writer.drain()
        await asyncio.sleep(interval)


def frame(kind: int, flags: int, stream: int, payload: bytes, length: int | None = None) -> bytes:
    """Return a frame of HTTP/2, which may lie about its length."""
    size = len(payload) if length is None else length
    return struct.pack(">BHBBI", size >> 16, size & 0xFFFF, kind, flags, stream) + payload


class Answers:
    """The messages of the edge on one stream, and the status with which it ended the stream."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def received(self, message: bytes) -> None:
        self.messages.put_nowait(message)

    def ended(self, status: str, _detail: str) -> None:
        if not self._end.done():
            self._end.set_result(status)

    async def end(self) -> str:
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.shield(self._end)
        except TimeoutError:
            return KEPT_OPEN


@asynccontextmanager
async def stream(where: Target, opening: bytes) -> AsyncIterator[tuple[GrpcStream, Answers]]:
    """Open a gRPC stream from one of the addresses; it is aborted when the block ends."""
    answers = Answers()
    made = GrpcStream(opening, answers)
    await asyncio.get_running_loop().create_connection(
        lambda: made, HOST, where.edge, ssl=where.tls, local_addr=(address(), 0)
    )
    try:
        yield made, answers
    finally:
        made.abort()
