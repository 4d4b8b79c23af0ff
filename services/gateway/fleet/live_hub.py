"""Passes the newest samples and the status of servers on to viewers.

Each process has one subscription. Each viewer has a mailbox with the newest message of a kind
per server, so a slow viewer skips messages and never queues them.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge

from flotilla.v1.metrics_pb2 import PerformanceSnapshotBatch
from services.gateway.fleet.server_state import Server
from services.kit.access import Object
from services.kit.agents.presence import (
    DEFAULT_TIMING,
    PresenceBoard,
    PresenceTiming,
    Status,
    judge,
)
from services.kit.errors import PoisonError
from services.kit.metrics import bundles
from services.kit.metrics import fields as metric_fields

log = structlog.get_logger(__name__)

FUTURE_LIMIT = 300.0  # seconds

VIEWERS = Gauge("flotilla_gateway_viewers", "Open live sockets")
CONFLATED = Counter("flotilla_gateway_conflated_total", "Live messages that slow viewers skipped")

Visible = Callable[[str], bool]


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
        """Wait for messages, and return all."""
        await self._arrived.wait()
        self._arrived.clear()
        mail, self._mail = self._mail, {}
        return list(mail.values())


class LiveHub:
    def __init__(self, board: PresenceBoard, timing: PresenceTiming = DEFAULT_TIMING) -> None:
        self._timing = timing
        self.servers: dict[str, Server] = {}
        self._board = board
        self._viewers: set[Viewer] = set()

    def set_servers(self, servers: dict[str, tuple[Object, bool]]) -> None:
        """Take over the list of servers from the database."""
        for gone in self.servers.keys() - servers.keys():
            del self.servers[gone]
        for vps_id, (object_, enrolled) in servers.items():
            unheard = Status.OFFLINE if enrolled else Status.PENDING
            server = self.servers.setdefault(vps_id, Server(object_, enrolled, unheard))
            server.object, server.enrolled = object_, enrolled

    def restore(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            server = self.servers.get(row["vps_id"])
            if server is not None:
                server.restore(row, time.monotonic())

    @contextmanager
    def viewing(self, visible: Visible, *, with_detail: bool) -> Iterator[Viewer]:
        """Open a mailbox; it starts with the newest messages of every visible server."""
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
        """Look for servers that stopped sending, until cancelled."""
        await self._board.loaded()
        while True:
            for vps_id, server in self.servers.items():
                self._judge(vps_id, server)
            await asyncio.sleep(self._timing.tick)

    def _judge(self, vps_id: str, server: Server) -> None:
        if not self._board.is_loaded:
            return
        now = time.monotonic()
        status = judge(
            enrolled=server.enrolled,
            connected_for=self._board.connected_for(vps_id, now),
            sample_age=None if server.sampled_at is None else now - server.sampled_at,
            report_interval=server.interval,
            timing=self._timing,
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
                "time": metric_fields.rfc3339(datetime.now().astimezone()),
                "vps_id": vps_id,
                "status": server.status,
                "last_seen": None if server.time is None else metric_fields.rfc3339(server.time),
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
