"""The newest of every server, and its way to the screens.

One core subscription a process. Each screen has a mailbox that keeps only the
newest message of a kind per server, so a slow one skips and never queues.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge

from flotilla.v1.metrics_pb2 import PerformanceSnapshot, PerformanceSnapshotBatch
from services.gateway.presence import PresenceBoard, Status, judge
from services.kit import bundles, sample
from services.kit.errors import PoisonError

log = structlog.get_logger(__name__)

DEFAULT_INTERVAL = 2.0  # seconds between an agent's reports until two have come
TICK = 1.0  # seconds between looks at who went stale or offline
FUTURE_LIMIT = 300.0  # seconds

VIEWERS = Gauge("flotilla_gateway_viewers", "Open live sockets")
CONFLATED = Counter("flotilla_gateway_conflated_total", "Live messages a slow screen skipped")

Visible = Callable[[str], bool]


@dataclass(slots=True)
class Server:
    """What this process knows of one server."""

    owner_id: UUID
    enrolled: bool
    status: Status
    time: datetime | None = None
    sampled_at: float | None = None  # monotonic
    interval: float = DEFAULT_INTERVAL
    _snapshot: PerformanceSnapshot | None = None
    _fields: dict[str, Any] | None = None
    _detail: dict[str, Any] | None = None

    def take(self, snapshot: PerformanceSnapshot, now: float) -> bool:
        """Keep a snapshot that is newer than the one before; whether it was."""
        measured = sample.measured_at(snapshot)
        if self.time is not None:
            gap = (measured - self.time).total_seconds()
            if gap <= 0:
                return False
            if self._snapshot is not None:
                self.interval = min(max(gap, 0.5), 3600.0)
        self.time, self.sampled_at = measured, now
        self._snapshot, self._fields, self._detail = snapshot, None, None
        return True

    def restore(self, row: dict[str, Any], now: float) -> None:
        """Start from a stored row, unless something newer has come already; `now` is monotonic."""
        if self.time is None:
            self.time = row["time"]
            self.sampled_at = now - max(time.time() - row["time"].timestamp(), 0.0)
            self._detail = sample.unpack_detail(row.pop("detail"))
            self._fields = {**row, "time": sample.rfc3339(row["time"])}

    def fields(self, vps_id: str) -> dict[str, Any] | None:
        if self._fields is None and self._snapshot is not None and self.time is not None:
            self._fields = {
                "time": sample.rfc3339(self.time),
                "vps_id": vps_id,
                **sample.values(self._snapshot),
                "clock_corrected": self._snapshot.clock_corrected,
            }
        return self._fields

    def detail(self) -> dict[str, Any]:
        if self._detail is None:
            self._detail = sample.detail(self._snapshot) if self._snapshot is not None else {}
        return self._detail


@dataclass(slots=True, eq=False)
class Viewer:
    visible: Visible
    with_detail: bool
    _mail: dict[tuple[str, str], bytes] = field(default_factory=dict)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def post(self, vps_id: str, event: str, message: bytes) -> None:
        if (vps_id, event) in self._mail:
            CONFLATED.inc()
        self._mail[vps_id, event] = message
        self._arrived.set()

    async def collect(self) -> list[bytes]:
        """Wait for mail; all of it."""
        await self._arrived.wait()
        self._arrived.clear()
        mail, self._mail = self._mail, {}
        return list(mail.values())


class Live:
    def __init__(self, board: PresenceBoard) -> None:
        self.servers: dict[str, Server] = {}
        self._board = board
        self._viewers: set[Viewer] = set()

    def know(self, owners: dict[str, tuple[UUID, bool]]) -> None:
        """Take over the list of servers as the database has it."""
        for gone in self.servers.keys() - owners.keys():
            del self.servers[gone]
        for vps_id, (owner_id, enrolled) in owners.items():
            unheard = Status.OFFLINE if enrolled else Status.PENDING
            server = self.servers.setdefault(vps_id, Server(owner_id, enrolled, unheard))
            server.owner_id, server.enrolled = owner_id, enrolled

    def restore(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            server = self.servers.get(row["vps_id"])
            if server is not None:
                server.restore(row, time.monotonic())

    @contextmanager
    def viewing(self, visible: Visible, *, with_detail: bool) -> Iterator[Viewer]:
        """A mailbox that starts with the newest of every visible server."""
        viewer = Viewer(visible, with_detail)
        for vps_id, server in self.servers.items():
            if visible(vps_id):
                viewer.post(vps_id, "status", self._status_message(vps_id, server))
                message = _sample_message(vps_id, server, with_detail=with_detail)
                if message is not None:
                    viewer.post(vps_id, "sample", message)
        self._viewers.add(viewer)
        VIEWERS.set(len(self._viewers))
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            VIEWERS.set(len(self._viewers))

    async def on_performance(self, message: Msg) -> None:
        try:
            batches = bundles.performance(message)
        except PoisonError:
            log.warning("snapshot_unreadable", subject=message.subject)
            return
        for vps_id, batch in batches:
            server = self.servers.get(vps_id)
            if server is not None and batch.snapshots:
                self._take(vps_id, server, batch)

    def _take(self, vps_id: str, server: Server, batch: PerformanceSnapshotBatch) -> None:
        newest = max(batch.snapshots, key=lambda snapshot: snapshot.time_unix_ms)
        if newest.time_unix_ms / 1000 > time.time() + FUTURE_LIMIT:
            return
        if server.take(newest, time.monotonic()):
            self._post_sample(vps_id, server)
            self._judge(vps_id, server)

    async def tick(self) -> None:
        """Notice who fell silent, until cancelled."""
        await self._board.loaded()
        while True:
            for vps_id, server in self.servers.items():
                self._judge(vps_id, server)
            await asyncio.sleep(TICK)

    def _judge(self, vps_id: str, server: Server) -> None:
        if not self._board.is_loaded:
            return
        now = time.monotonic()
        status = judge(
            enrolled=server.enrolled,
            connected_for=self._board.connected_for(vps_id, now),
            sample_age=None if server.sampled_at is None else now - server.sampled_at,
            report_interval=server.interval,
        )
        if status is not server.status:
            server.status = status
            log.info("status_changed", vps_id=vps_id, status=status.value)
            message = self._status_message(vps_id, server)
            for viewer in self._viewers:
                if viewer.visible(vps_id):
                    viewer.post(vps_id, "status", message)

    def _post_sample(self, vps_id: str, server: Server) -> None:
        messages: dict[bool, bytes | None] = {}
        for viewer in self._viewers:
            if not viewer.visible(vps_id):
                continue
            if viewer.with_detail not in messages:
                messages[viewer.with_detail] = _sample_message(
                    vps_id, server, with_detail=viewer.with_detail
                )
            message = messages[viewer.with_detail]
            if message is not None:
                viewer.post(vps_id, "sample", message)

    def _status_message(self, vps_id: str, server: Server) -> bytes:
        return msgspec.json.encode(
            {
                "event": "status",
                "time": sample.rfc3339(datetime.now().astimezone()),
                "vps_id": vps_id,
                "status": server.status,
                "last_seen": None if server.time is None else sample.rfc3339(server.time),
            }
        )


def _sample_message(vps_id: str, server: Server, *, with_detail: bool) -> bytes | None:
    fields = server.fields(vps_id)
    if fields is None:
        return None
    message = {"event": "sample", **fields}
    if with_detail:
        message["detail"] = server.detail()
    return msgspec.json.encode(message)
