"""Status of servers, derived from the presence that edges report and the age of the last data."""

import asyncio
import time
from dataclasses import dataclass
from enum import StrEnum

import structlog

from flotilla.v1.bus_pb2 import Presence
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.errors import PoisonError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PresenceTiming:
    """Limits for the status of a server; times are in seconds."""

    tick: float = 1.0
    """Interval between checks for servers that became stale or offline."""
    edge_silence: float = 15.0
    """An edge counts as gone after this time without a heartbeat."""
    min_silence: float = 10.0
    """A server is never stale before this time without data."""
    missed_reports: int = 3
    """A server is stale after it missed more than this number of reports."""


DEFAULT_TIMING = PresenceTiming()


class Status(StrEnum):
    PENDING = "pending"
    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"


def judge(
    *,
    enrolled: bool,
    connected_for: float | None,
    sample_age: float | None,
    report_interval: float,
    timing: PresenceTiming = DEFAULT_TIMING,
) -> Status:
    """Return the status of a server.

    All times are in seconds; `connected_for` is None while no live edge holds the agent's stream.
    """
    if not enrolled:
        return Status.PENDING
    if connected_for is None:
        return Status.OFFLINE
    silence = connected_for if sample_age is None else min(sample_age, connected_for)
    if silence > max(timing.min_silence, timing.missed_reports * report_interval):
        return Status.STALE
    return Status.ONLINE


@dataclass(slots=True)
class _Held:
    edge_id: str
    since: float  # monotonic
    changed_at_unix_ms: int


class PresenceBoard:
    """In-memory copy of the `presence` and `edges` buckets."""

    def __init__(self, timing: PresenceTiming = DEFAULT_TIMING) -> None:
        self._timing = timing
        self._held: dict[str, _Held] = {}
        self._edges: dict[str, float] = {}
        self._agents_loaded = asyncio.Event()
        self._edges_loaded = asyncio.Event()

    @property
    def is_loaded(self) -> bool:
        """True after both buckets were read. Before that, no server counts as offline."""
        return self._agents_loaded.is_set() and self._edges_loaded.is_set()

    async def loaded(self) -> None:
        await self._agents_loaded.wait()
        await self._edges_loaded.wait()

    async def follow_agents(self, connection: bus.Bus) -> None:
        async for entry in connection.watch(subjects.Bucket.PRESENCE):
            if entry is None:
                self._agents_loaded.set()
            else:
                self._apply(entry)

    async def follow_edges(self, connection: bus.Bus) -> None:
        async for entry in connection.watch(subjects.Bucket.EDGES):
            if entry is None:
                self._edges_loaded.set()
            elif entry.value is None:
                self._edges.pop(entry.key, None)
            else:
                self._edges[entry.key] = time.monotonic()

    def _apply(self, entry: bus.Entry) -> None:
        try:
            presence = None if entry.value is None else bus.decode(entry.value, Presence)
        except PoisonError:
            log.warning("presence_unreadable", vps_id=entry.key)
            return
        if presence is None or not presence.connected:
            self._held.pop(entry.key, None)
            return
        known = self._held.get(entry.key)
        if known is None or known.changed_at_unix_ms != presence.changed_at_unix_ms:
            age = time.time() - presence.changed_at_unix_ms / 1000
            self._held[entry.key] = _Held(
                presence.edge_id, time.monotonic() - max(age, 0.0), presence.changed_at_unix_ms
            )

    def has_live_edge(self, now: float) -> bool:
        """Tell whether any edge is alive. `now` is a monotonic time."""
        return any(now - beat <= self._timing.edge_silence for beat in self._edges.values())

    def connected_for(self, vps_id: str, now: float) -> float | None:
        """Return for how many seconds the agent has been connected to a live edge.

        None if the agent is not connected. `now` is a monotonic time.
        """
        held = self._held.get(vps_id)
        if held is None:
            return None
        beat = self._edges.get(held.edge_id)
        if beat is None or now - beat > self._timing.edge_silence:
            return None
        return now - held.since
