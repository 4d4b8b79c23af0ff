"""The send queue: measurements on their way to the server."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

from agent.base.backoff import Backoff, wait
from agent.spool.batch import Batch
from agent.spool.delivery_states import Delivery
from agent.spool.models import Kind, Limits
from agent.spool.spool_thread import SpoolThread
from flotilla.v1.agent_pb2 import MessageToServer
from flotilla.v1.docker_pb2 import DockerSnapshot
from flotilla.v1.metrics_pb2 import GenericMetric, PerformanceSnapshot

# Changes other than new items wait for the next item and are stored with it, at most for this time.
COMMIT_INTERVAL = 30.0  # seconds
UNREADABLE_PAUSE = 5.0  # seconds until a spool that could not be read is searched again
# An accepted batch counts as lost if it is not durable after this time but a later batch is.
LOST_AFTER = 600  # seconds
LOST_CHECK_INTERVAL = 60.0  # seconds


class SendQueue:
    """Measurements that wait to be delivered, in memory and in the spool.

    New measurements are sent at once. Measurements that could not be sent then follow at a limited
    pace, oldest first. `Delivery` decides what is sent, stored or lost. This class waits, reads and
    writes for it.
    """

    def __init__(
        self,
        vps_id: str,
        spool: SpoolThread | None = None,
        limits: Limits | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Begin without measurements. Without a spool, only memory keeps them."""
        limits = limits or Limits()
        self._delivery = Delivery(vps_id, limits, now=now)
        self._now = now
        self._spool = spool
        # No commit may happen between a search in the spool and the use of its result.
        self._using_spool = asyncio.Lock()
        self._changed = asyncio.Event()
        self._to_store = asyncio.Event()
        self._stopping = asyncio.Event()
        self._retry = Backoff(first=limits.store_retry_first, most=limits.store_retry_most)

    @property
    def epoch(self) -> str:
        return self._delivery.epoch

    @property
    def lost(self) -> int:
        """Number of measurements that were lost since the start."""
        return self._delivery.lost

    def add(self, snapshot: PerformanceSnapshot | DockerSnapshot) -> None:
        """Queue a snapshot, which must not change any more."""
        performance = isinstance(snapshot, PerformanceSnapshot)
        kind = Kind.PERFORMANCE if performance else Kind.DOCKER
        self._delivery.add(kind, snapshot.time_unix_ms, [snapshot])
        self._item_added()

    def add_metrics(self, metrics: list[GenericMetric]) -> None:
        """Queue metrics of one time, which must not change any more."""
        if metrics:
            self._delivery.add(Kind.GENERIC, metrics[0].time_unix_ms, metrics)
            self._item_added()

    def _item_added(self) -> None:
        self._to_store.set()
        self._changed.set()

    async def next_message(self) -> MessageToServer:
        """Return the next batch as soon as one may be sent. It then counts as sent."""
        while True:
            self._changed.clear()
            batch = self._delivery.next_live() or await self._next_of_backlog()
            if batch is None:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), self._delivery.wait_seconds())
            elif message := self._delivery.send(batch):
                return message

    async def _next_of_backlog(self) -> Batch | None:
        if batch := self._delivery.next_of_backlog():
            return batch
        kinds = self._delivery.kinds_to_fill()
        if not kinds:
            return None
        async with self._using_spool:
            for kind in kinds:
                if batch := await self._fill(kind):
                    return batch
            if self._delivery.kinds_to_fill():
                self._delivery.pause_backlog(UNREADABLE_PAUSE)
        return None

    async def _fill(self, kind: Kind) -> Batch | None:
        while search := self._delivery.search(kind):
            stored = await self._spool.read(search) if self._spool else []
            if stored is None:
                self._to_store.set()  # which opens it again
                return self._delivery.fill_from_memory(kind)
            if batch := self._delivery.fill(search, stored):
                return batch
        return None

    def accepted(self, sequences: Iterable[int]) -> None:
        """Note that these batches are in JetStream."""
        self._delivery.accepted(sequences)
        self._changed.set()

    def durable(self, sequences: Iterable[int]) -> None:
        """Note that these batches are in the database."""
        self._delivery.durable(sequences)
        self._changed.set()

    def refused(self, sequences: Iterable[int], reason: str) -> None:
        """Give up these batches, which the server will never accept."""
        self._delivery.refused(sequences, reason)
        self._changed.set()

    def retry(self, sequences: Iterable[int], after: float) -> None:
        """Send these batches again, but not within the next `after` seconds."""
        self._delivery.retry(sequences, after)
        self._changed.set()

    def stream_opened(self) -> None:
        """Send batches again that were sent on an earlier stream and not accepted."""
        self._delivery.stream_opened()
        self._changed.set()

    async def live_accepted(self) -> None:
        """Wait until the server has accepted everything that is not in the backlog."""
        while not self._delivery.live_is_accepted:
            self._changed.clear()
            await self._changed.wait()

    async def watch(self) -> None:
        """Look for lost batches until cancelled."""
        while True:
            await asyncio.sleep(LOST_CHECK_INTERVAL)
            await self.resend_lost(int(self._now()) - LOST_AFTER)

    async def resend_lost(self, before: int) -> None:
        """Send the batches again that were accepted before this Unix second and are not durable.

        No batch is sent again unless a later batch is durable.
        """
        async with self._using_spool:
            # The spool must first remove the batches that became durable.
            await self._store()
            accepted_before = self._delivery.lost_before(before)
            if accepted_before and self._spool:
                self._delivery.revived(await self._spool.revive(accepted_before))
        self._changed.set()

    async def open(self) -> None:
        """Open the spool and continue with the items of an earlier process."""
        async with self._using_spool:
            await self._open()

    async def _open(self) -> None:
        if self._spool and not self._spool.is_open and (opened := await self._spool.open()):
            self._delivery.adopt(opened)
            self._delivery.pause_backlog(0.0)
            self._changed.set()

    async def run(self) -> None:
        """Store new items and changes in the spool until `stop` is called."""
        while not self._stopping.is_set():
            await wait(self._to_store, COMMIT_INTERVAL)
            self._to_store.clear()
            if not await self.store():
                await wait(self._stopping, self._retry.next())
                self._to_store.set()
            else:
                self._retry.reset()
                if not self._delivery.is_stored:
                    self._to_store.set()

    def stop(self) -> None:
        self._stopping.set()
        self._to_store.set()

    async def store(self) -> bool:
        """Store the oldest items and all changes. Return whether the spool took the items."""
        async with self._using_spool:
            return await self._store()

    async def _store(self) -> bool:
        await self._open()
        commit = self._delivery.commit()
        committed = await self._spool.commit(commit) if self._spool else None
        if committed is None:
            return False
        self._delivery.committed(commit, committed)
        return committed.items_stored

    async def close(self) -> None:
        """Store what is left and close the spool."""
        if self._spool is None:
            return
        self._delivery.end_batches()
        if self._spool.is_open:
            while await self.store() and not self._delivery.is_stored:
                pass
        await self._spool.close()
