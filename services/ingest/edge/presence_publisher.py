"""Publishes which agents this edge holds."""

import time
from collections import defaultdict, deque
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

from flotilla.v1 import bus_pb2, event_pb2
from services.ingest.edge.stream import AgentStream
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)

CONTEST_WINDOW = 300.0  # seconds
CONTEST_TAKEOVERS = 5  # takeovers within the window that count as a contest

CONTESTS = Counter(
    "flotilla_edge_contests_total", "Times two hosts competed for one agent key by taking over"
)


@dataclass(frozen=True, slots=True)
class _Takeover:
    at: float  # monotonic
    peers: tuple[str, str]


class PresencePublisher:
    def __init__(self, connection: bus.Bus, edge_id: str) -> None:
        self._bus = connection
        self._edge_id = edge_id
        self._takeovers: defaultdict[str, deque[_Takeover]] = defaultdict(
            lambda: deque(maxlen=CONTEST_TAKEOVERS)
        )

    async def publish_connected(self, stream: AgentStream) -> bool:
        """Publish presence, then the event; on success set `stream.is_announced`.

        Return `stream.is_announced`. If it is False, the caller tries again later.
        """
        now = time.time_ns() // 1_000_000
        presence = bus_pb2.Presence(
            vps_id=stream.vps_id, edge_id=self._edge_id, connected=True, changed_at_unix_ms=now
        )
        event = event_pb2.VpsConnected(
            vps_id=stream.vps_id,
            edge_id=self._edge_id,
            time_unix_ms=now,
            facts=stream.handshake.facts,
            powers=stream.handshake.powers,
            peer=stream.peer,
        )
        takeover = bus_pb2.StreamTaken(
            vps_id=stream.vps_id,
            edge_id=self._edge_id,
            peer=stream.peer,
            boot_id=stream.handshake.facts.boot_id,
        )
        subject = subjects.vps_connected(stream.vps_id)
        try:
            await self._bus.publish(subjects.agent_taken(stream.vps_id), takeover)
            stream.presence_revision = await self._bus.put(
                subjects.Bucket.PRESENCE, stream.vps_id, presence
            )
            await self._bus.store(subject, event, msg_id=f"{subject}.{self._edge_id}.{now}")
        except TransientError as error:
            log.warning("presence_not_published", vps_id=stream.vps_id, error=str(error))
        else:
            stream.is_announced = True
        return stream.is_announced

    async def publish_disconnected(self, stream: AgentStream, reason: str) -> None:
        now = time.time_ns() // 1_000_000
        presence = bus_pb2.Presence(
            vps_id=stream.vps_id, edge_id=self._edge_id, connected=False, changed_at_unix_ms=now
        )
        event = event_pb2.VpsDisconnected(
            vps_id=stream.vps_id, edge_id=self._edge_id, time_unix_ms=now, reason=reason
        )
        subject = subjects.vps_disconnected(stream.vps_id)
        try:
            # The revision check keeps this from overwriting the presence of a newer edge.
            await self._bus.put(
                subjects.Bucket.PRESENCE,
                stream.vps_id,
                presence,
                revision=stream.presence_revision,
            )
            await self._bus.store(subject, event, msg_id=f"{subject}.{self._edge_id}.{now}")
        except TransientError as error:
            log.warning("presence_not_published", vps_id=stream.vps_id, error=str(error))

    async def record_takeover(self, older: AgentStream, peer: str, boot_id: str) -> None:
        """Count a takeover by a newer stream; publish an event if two hosts keep competing."""
        if boot_id == older.handshake.facts.boot_id:
            return  # the same host reconnected before its old connection was noticed as dead
        now = time.monotonic()
        recent = self._takeovers[older.vps_id]
        recent.append(_Takeover(now, (older.peer, peer)))
        if len(recent) < CONTEST_TAKEOVERS or now - recent[0].at > CONTEST_WINDOW:
            return
        peers = sorted({peer for takeover in recent for peer in takeover.peers})
        del self._takeovers[older.vps_id]
        CONTESTS.inc()
        log.error("agent_contested", vps_id=older.vps_id, peers=peers)
        unix_ms = time.time_ns() // 1_000_000
        event = event_pb2.VpsContested(
            vps_id=older.vps_id, time_unix_ms=unix_ms, takeovers=CONTEST_TAKEOVERS, peers=peers
        )
        subject = subjects.vps_contested(older.vps_id)
        try:
            await self._bus.store(subject, event, msg_id=f"{subject}.{self._edge_id}.{unix_ms}")
        except TransientError as error:
            log.warning("contest_not_published", vps_id=older.vps_id, error=str(error))

    async def publish_heartbeat(self, streams: int) -> None:
        """Renew this edge's key in the `edges` bucket."""
        heartbeat = bus_pb2.EdgeBeat(
            edge_id=self._edge_id, beat_at_unix_ms=time.time_ns() // 1_000_000, streams=streams
        )
        try:
            await self._bus.put(subjects.Bucket.EDGES, self._edge_id, heartbeat)
        except TransientError as error:
            log.warning("heartbeat_not_published", error=str(error))

    def forget_old_takeovers(self) -> None:
        horizon = time.monotonic() - CONTEST_WINDOW
        old = [vps for vps, recent in self._takeovers.items() if recent[-1].at < horizon]
        for vps_id in old:
            del self._takeovers[vps_id]
