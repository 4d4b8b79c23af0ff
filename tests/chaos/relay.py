"""The network between agents and the edge. It can be cut without notice to either end."""

from __future__ import annotations

import asyncio
from typing import cast


class Relay:
    def __init__(self, target: int) -> None:
        self.port = 0
        self.is_cut = False
        self._target = target
        self._server: asyncio.Server | None = None
        self._ends: set[_End] = set()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _End(self, None), "127.0.0.1", 0, backlog=4096
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.reset()

    def cut(self) -> None:
        """Stop all traffic without notice to either end."""
        self.is_cut = True
        for end in self._ends:
            end.hold()

    def mend(self) -> None:
        """Let traffic through again. Bytes in the buffers arrive late, as after a real cut."""
        self.is_cut = False
        for end in list(self._ends):
            end.release()

    def reset(self) -> None:
        """Reset every connection at both ends."""
        for end in list(self._ends):
            end.abort()

    def joined(self, end: _End) -> None:
        self._ends.add(end)
        if self.is_cut:
            end.hold()

    def left(self, end: _End) -> None:
        self._ends.discard(end)

    async def dial(self, near: _End) -> _End | None:
        loop = asyncio.get_running_loop()
        try:
            _, far = await loop.create_connection(
                lambda: _End(self, near), "127.0.0.1", self._target
            )
        except OSError:
            return None
        return far


class _End(asyncio.Protocol):
    """One half of a connection: the other half writes the bytes that it reads."""

    def __init__(self, relay: Relay, other: _End | None) -> None:
        self._relay = relay
        self._other = other
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._dialling: asyncio.Task[None] | None = None
        self._closed = False
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._relay.joined(self)
        if self._other is None:
            self._dialling = asyncio.ensure_future(self._dial())

    async def _dial(self) -> None:
        other = await self._relay.dial(self)
        if other is None or self._closed:
            self.abort()
            return
        self._other = other
        for data in self._waiting:
            other.write(data)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._waiting.append(data)
        else:
            self._other.write(data)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def hold(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def release(self) -> None:
        if self._gone:
            self.abort()
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        self._closed = True
        self._relay.left(self)
        if self._other is not None:
            self._other.bereave()

    def bereave(self) -> None:
        """Handle the loss of the other end; during a cut, this end must not notice it."""
        self._gone = True
        if not self._relay.is_cut:
            self.abort()
