"""Performance batches on their way into the stream.

One message is on its way at a time. What comes in before JetStream has written it gathers and
goes as the next: group commit, as databases do it, so that one sync to disk and one message
serve many agents. An edge with little to do publishes each batch on its server's own subject.
"""

import asyncio
import itertools
from collections import deque
from typing import NamedTuple

from prometheus_client import Counter, Gauge

from flotilla.v1.metrics_pb2 import PerformanceBundle, PerformanceSnapshotBatch
from services.kit import subjects
from services.kit.bus import Bus
from services.kit.errors import TransientError

BUNDLE_BATCHES = 64
BUNDLE_BYTES = 256 * 1024
LINGER = 0.01  # seconds for more to come; only where several came at once before

GATHERED = Gauge("flotilla_edge_gathered_batches", "Batches that wait for the stream")
BUNDLES = Counter("flotilla_edge_messages_total", "Performance messages published", ["form"])
ALONE, TOGETHER = BUNDLES.labels("batch"), BUNDLES.labels("bundle")


class _Waiting(NamedTuple):
    batch: PerformanceSnapshotBatch
    stored: asyncio.Future[None]


class Gathering:
    """Bounded by the edge's streams: each waits for the batch it brought."""

    def __init__(self, connection: Bus, edge_id: str) -> None:
        self._bus = connection
        self._edge_id = edge_id
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._numbers = itertools.count(1)

    async def store(self, batch: PerformanceSnapshotBatch) -> None:
        """Return when JetStream has it.

        Raises:
            TransientError: the stream did not take it.
        """
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(batch, stored))
        self._arrived.set()
        await stored

    async def run(self) -> None:
        """Publish until cancelled."""
        several = False
        while True:
            await self._arrived.wait()
            if several:
                await asyncio.sleep(LINGER)
            taken = self._take()
            if not taken:
                continue
            several = len(taken) > 1
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
        taken: list[_Waiting] = []
        size = 0
        while self._waiting and len(taken) < BUNDLE_BATCHES:
            waiting = self._waiting[0]
            if not waiting.stored.done():  # else its stream has ended, and the agent sends again
                size += waiting.batch.ByteSize()
                if taken and size > BUNDLE_BYTES:
                    break
                taken.append(waiting)
            self._waiting.popleft()
        if not self._waiting:
            self._arrived.clear()
        GATHERED.set(len(self._waiting))
        return taken

    async def _publish(self, batches: list[PerformanceSnapshotBatch]) -> None:
        header = batches[0].header
        if len(batches) == 1:
            ALONE.inc()
            name = f"{header.vps_id}.{header.epoch}.{header.sequence}"
            subject = subjects.performance(header.vps_id)
            await self._bus.store(subject, batches[0], msg_id=name, edge_id=self._edge_id)
        else:
            TOGETHER.inc()
            await self._bus.store(
                subjects.bundle(self._edge_id),
                PerformanceBundle(batches=batches),
                msg_id=f"{self._edge_id}.{next(self._numbers)}",
                edge_id=self._edge_id,
            )
