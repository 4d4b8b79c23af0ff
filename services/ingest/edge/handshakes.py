"""Limits of handshakes: streams and calls whose agent has not proven its identity yet.

Silent clients must not delay agents. A client therefore holds its turn only for a moment, and its
place until the handshake's timeout. Places are limited per connection, per address and in total.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from services.ingest.edge.errors import IntakeError, Reason
from services.kit.fair_places import FairPlaces

# Handshakes that have a turn at once, and the time after which a silent one loses its turn. If a whole
# fleet connected and all agents were challenged at once, the edge would answer none in time.
TURNS = 64
TURN_SECONDS = 0.05
PLACES = 2_048
PLACES_PER_ADDRESS = 1_024
PLACES_PER_CONNECTION = 4
# First messages that are awaited at once. gRPC keeps up to `service.TRANSPORT_LIMIT` bytes of each.
# An agent has a moment to answer before another handshake may take the place of its own.
AWAITED = 128
AWAITED_SECONDS = 0.5
IPV6_PREFIX = 64  # providers give each host at least such a network


Message = TypeVar("Message")


class Handshake:
    """One handshake: its place, its deadline and its turn."""

    def __init__(self, limits: "Handshakes", address: str, connection: str) -> None:
        self.connection = connection
        self.deadline = asyncio.timeout(None)
        self.since = 0.0
        self.is_displaced = False
        self._limits = limits
        self._address = address

    def displace(self) -> None:
        """End this handshake, whose place another one takes."""
        if not self.is_displaced:
            self.is_displaced = True
            self.deadline.reschedule(0)

    async def first_message(self, receive: Callable[[], Awaitable[Message]]) -> Message:
        """Wait for a turn and for the agent's first message, which may take longer than the turn.

        The timeout starts with the turn and ends with the message.
        """
        async with self._limits.turns:
            await self._limits.start(self._address, self)
            receiving = asyncio.ensure_future(receive())
            try:
                await asyncio.wait({receiving}, timeout=TURN_SECONDS)
            except asyncio.CancelledError:
                receiving.cancel()
                raise
        try:
            message = await receiving
        finally:
            receiving.cancel()
        self._limits.awaited.leave(self._address, self)
        self.deadline.reschedule(None)
        return message


class Handshakes:
    """The handshakes of an edge. `timeout` is in seconds, from a handshake's turn to its end."""

    def __init__(self, timeout: float) -> None:
        self.turns = asyncio.Semaphore(TURNS)
        self.awaited = FairPlaces[Handshake](AWAITED, AWAITED)
        self._timeout = timeout
        # By address, oldest first.
        self._open: dict[str, dict[Handshake, None]] = {}
        self._connections: Counter[str] = Counter()

    @asynccontextmanager
    async def limited(self, peer: str) -> AsyncIterator[Handshake]:
        """Give a handshake a place while the block runs. `peer` is gRPC's string.

        Raises:
            IntakeError: there is no place, or the handshake is late.
        """
        address = network(peer)
        self._check_places(address, peer)
        handshake = Handshake(self, address, peer)
        self._open.setdefault(address, {})[handshake] = None
        self._connections[peer] += 1
        try:
            async with handshake.deadline:
                yield handshake
        except TimeoutError:
            if handshake.is_displaced:
                raise _busy("Too many agents are connecting.") from None
            raise IntakeError(
                Reason.HANDSHAKE_LATE,
                f"The agent did not answer the challenge within {self._timeout:g} s.",
            ) from None
        finally:
            self._leave(address, handshake)

    async def start(self, address: str, handshake: Handshake) -> None:
        """Start the timeout of a handshake; end another one if too many are awaited."""
        now = asyncio.get_running_loop().time
        while (oldest := self.awaited.next_displaced(address)) is not None:
            left = oldest.since + AWAITED_SECONDS - now()
            if left <= 0:
                break
            await asyncio.sleep(min(left, TURN_SECONDS))
        displaced = self.awaited.enter(address, handshake)
        if displaced is not None:
            displaced.displace()
        handshake.since = now()
        handshake.deadline.reschedule(now() + self._timeout)

    def _leave(self, address: str, handshake: Handshake) -> None:
        self.awaited.leave(address, handshake)
        del self._open[address][handshake]
        if not self._open[address]:
            del self._open[address]
        self._connections[handshake.connection] -= 1
        if not self._connections[handshake.connection]:
            del self._connections[handshake.connection]

    def _check_places(self, address: str, peer: str) -> None:
        if self._connections[peer] >= PLACES_PER_CONNECTION:
            raise _busy(f"This connection has {PLACES_PER_CONNECTION} unfinished handshakes.")
        own = len(self._open.get(address, ()))
        if own >= PLACES_PER_ADDRESS:
            raise _busy(f"This address has {PLACES_PER_ADDRESS} unfinished handshakes.")
        if self._connections.total() >= PLACES:
            largest = max(self._open.values(), key=len)
            if len(largest) <= own + 1:
                raise _busy(f"{PLACES} agents are connecting.")
            # The address with the most unfinished handshakes loses its oldest one.
            next(iter(largest)).displace()


def _busy(detail: str) -> IntakeError:
    return IntakeError(Reason.BUSY, f"{detail} Connect again later.")


def peer_address(peer: str) -> str:
    """Return the address in gRPC's `ipv4:192.0.2.1:443` or `ipv6:%5B::1%5D:443`."""
    text = peer.partition(":")[2].rpartition(":")[0]
    text = text.replace("%5B", "").replace("%5D", "").strip("[]")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    # A listener for both families gives IPv4 addresses as ::ffff:192.0.2.1.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def network(peer: str) -> str:
    """Return the part of a peer's address that identifies a host: all of IPv4, a /64 of IPv6."""
    text = peer_address(peer)
    if ":" not in text:
        return text
    try:
        return str(ipaddress.ip_network((text.partition("%")[0], IPV6_PREFIX), strict=False))
    except ValueError:
        return text


def listen_address(host: str, port: int) -> str:
    """Return the address for gRPC; `::` listens on all addresses of both families."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
