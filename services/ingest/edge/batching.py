"""Publishing of performance batches, several in one message when the edge is busy.

One message is in flight at a time. Batches that arrive before JetStream has acknowledged it wait
and go together as the next message, like group commit in a database: one sync to disk and one
message serve many agents. An edge with little to do publishes each batch on its server's own
subject.
"""

import asyncio
import itertools
from collections import deque
from typing import NamedTuple

from prometheus_client import Counter, Gauge

from flotilla.v1.metrics_pb2 import PerformanceBundle, PerformanceSnapshotBatch
from services.kit.bus import subjects
from services.kit.bus.connection import Bus
from services.kit.errors import TransientError

BUNDLE_BATCHES = 64  # batches per bundle
BUNDLE_BYTES = 256 * 1024  # bytes per bundle
LINGER = 0.01  # seconds to wait for more batches, only after a message that held several

WAITING = Gauge(
    "flotilla_edge_gathered_batches", "Performance batches that wait to be published to JetStream"
)
MESSAGES = Counter(
    "flotilla_edge_messages_total",
    "Performance messages published, by form: a single batch or a bundle",
    ["form"],
)
SINGLE_BATCHES, BUNDLES = MESSAGES.labels("batch"), MESSAGES.labels("bundle")


class _Waiting(NamedTuple):
    batch: PerformanceSnapshotBatch
    stored: asyncio.Future[None]


class BatchPublisher:
    """Queue of batches. Each stream waits for its own batch, so the streams bound the queue."""

    def __init__(self, connection: Bus, edge_id: str) -> None:
        self._bus = connection
        self._edge_id = edge_id
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._numbers = itertools.count(1)

    async def store(self, batch: PerformanceSnapshotBatch) -> None:
        """Queue a batch and return once JetStream has acknowledged it.

        Raises:
            TransientError: the stream did not store it.
        """
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(batch, stored))
        self._arrived.set()
        await stored

    async def run(self) -> None:
        """Publish until cancelled."""
        is_busy = False
        while True:
            await self._arrived.wait()
            if is_busy:
                await asyncio.sleep(LINGER)
            taken = self._take()
            if not taken:
                continue
            is_busy = len(taken) > 1
            try:
                await self._publish([waiting.batch for waiting in taken])
            except TransientError as error:
                for waiting in taken:
                    if not waiting.stored.done():
                        waiting.stored.set_exception(TransientError(str(error)))
            else:
                for waiting in taken:
                    if not waiting.stored.done():
                        waiting.stored.set_result(None)

    def _take(self) -> list[_Waiting]:
        """Remove from the queue the batches of the next message."""
        taken: list[_Waiting] = []
        size = 0
        while self._waiting and len(taken) < BUNDLE_BATCHES:
            waiting = self._waiting[0]
            # A future is done if its stream has ended. The agent sends that batch again.
            if not waiting.stored.done():
                size += waiting.batch.ByteSize()
                if taken and size > BUNDLE_BYTES:
                    break
                taken.append(waiting)
            self._waiting.popleft()
        if not self._waiting:
            self._arrived.clear()
        WAITING.set(len(self._waiting))
        return taken

    async def _publish(self, batches: list[PerformanceSnapshotBatch]) -> None:
        header = batches[0].header
        if len(batches) == 1:
            SINGLE_BATCHES.inc()
            msg_id = f"{header.vps_id}.{header.epoch}.{header.sequence}"
            subject = subjects.performance(header.vps_id)
            await self._bus.store(subject, batches[0], msg_id=msg_id, edge_id=self._edge_id)
        else:
            BUNDLES.inc()
            await self._bus.store(
                subjects.bundle(self._edge_id),
                PerformanceBundle(batches=batches),
                msg_id=f"{self._edge_id}.{next(self._numbers)}",
                edge_id=self._edge_id,
            )
