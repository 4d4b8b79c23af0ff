import asyncio
import collections
import dataclasses
import enum
import logging
import os
import time
from collections.abc import Iterable

from flotilla.v1.metrics_pb2 import BatchHeader, PerformanceSnapshot, PerformanceSnapshotBatch

log = logging.getLogger(__name__)

SNAPSHOT_LIMIT = 10_000
BYTE_LIMIT = 32 * 1024 * 1024
BATCH_SNAPSHOTS = 100
BATCH_BYTES = 256 * 1024
UNACCEPTED_LIMIT = 8  # batches
# Accepted batches wait here for the word that they are durable. The word may get lost
# with a connection, and then nothing else would ever let them go.
ACCEPTED_LIMIT = 1_000  # batches
RETRY_MIN, RETRY_MAX = 0.1, 300.0  # seconds
DROP_LOG_PERIOD = 60.0  # seconds


class State(enum.Enum):
    READY = enum.auto()
    SENT = enum.auto()
    ACCEPTED = enum.auto()


@dataclasses.dataclass(slots=True)
class Batch:
    # A serialised PerformanceSnapshotBatch without its header: a tenth of the memory.
    content: bytes
    snapshots: int
    state: State = State.READY
    not_before: float = 0.0  # monotonic


class Outbox:
    """Snapshots on their way to the server, oldest first, within bounds."""

    def __init__(self, vps_id: str) -> None:
        self.epoch = os.urandom(8).hex()
        self.dropped = 0  # snapshots that found no room
        self.refused = 0  # snapshots that the server will never take
        self._vps_id = vps_id
        self._waiting: collections.deque[bytes] = collections.deque()
        self._batches: dict[int, Batch] = {}
        self._sequence = 0
        self._snapshots = 0
        self._bytes = 0
        self._changed = asyncio.Event()
        self._drop_logged = -DROP_LOG_PERIOD

    def add(self, snapshot: PerformanceSnapshot) -> None:
        content = snapshot.SerializeToString()
        self._waiting.append(content)
        self._snapshots += 1
        self._bytes += len(content)
        while self._snapshots > SNAPSHOT_LIMIT or self._bytes > BYTE_LIMIT:
            self._drop_oldest()
        self._changed.set()

    async def next_batch(self) -> PerformanceSnapshotBatch:
        """The oldest batch that may be sent, as soon as there is one."""
        while (sequence := self._sendable()) is None:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), self._retry_due())
            except asyncio.TimeoutError:
                continue
        batch = self._batches[sequence]
        batch.state = State.SENT
        message = PerformanceSnapshotBatch.FromString(batch.content)
        message.header.CopyFrom(
            BatchHeader(
                vps_id=self._vps_id,
                epoch=self.epoch,
                sequence=sequence,
                sent_at_unix_ms=time.time_ns() // 1_000_000,
            )
        )
        return message

    def accepted(self, sequences: Iterable[int]) -> None:
        for sequence in sequences:
            if batch := self._batches.get(sequence):
                batch.state = State.ACCEPTED
        accepted = [number for number, batch in self._batches.items() if _is_accepted(batch)]
        for sequence in accepted[:-ACCEPTED_LIMIT]:
            self._forget(sequence)
        self._changed.set()

    def durable(self, sequences: Iterable[int]) -> None:
        for sequence in sequences:
            self._forget(sequence)
        self._changed.set()

    def refuse(self, sequences: Iterable[int], reason: str) -> None:
        for sequence in sequences:
            count = self._forget(sequence)
            self.refused += count
            if count:
                log.error("the server refused %d snapshots: %s", count, reason)
        self._changed.set()

    def retry(self, sequences: Iterable[int], after: float) -> None:
        """Send again, but not within the next `after` seconds."""
        not_before = time.monotonic() + min(max(after, RETRY_MIN), RETRY_MAX)
        for sequence in sequences:
            batch = self._batches.get(sequence)
            if batch and batch.state is State.SENT:
                batch.state = State.READY
                batch.not_before = not_before
        self._changed.set()

    def resend(self) -> None:
        """On a new stream: whatever the old one did not get accepted is sent once more."""
        for batch in self._batches.values():
            if batch.state is State.SENT:
                batch.state = State.READY
        self._changed.set()

    async def settled(self) -> None:
        """Wait until everything has been accepted."""
        while self._waiting or not all(map(_is_accepted, self._batches.values())):
            self._changed.clear()
            await self._changed.wait()

    def _sendable(self) -> int | None:
        now = time.monotonic()
        unaccepted = 0
        for sequence, batch in self._batches.items():
            if batch.state is State.READY and batch.not_before <= now:
                return sequence
            unaccepted += not _is_accepted(batch)
        if not self._waiting or unaccepted >= UNACCEPTED_LIMIT:
            return None
        return self._fill_batch()

    def _fill_batch(self) -> int:
        message = PerformanceSnapshotBatch()
        size = 0
        while self._waiting and len(message.snapshots) < BATCH_SNAPSHOTS:
            size += len(self._waiting[0])
            if message.snapshots and size > BATCH_BYTES:
                break
            content = self._waiting.popleft()
            self._bytes -= len(content)
            message.snapshots.add().MergeFromString(content)
        batch = Batch(message.SerializeToString(), len(message.snapshots))
        self._bytes += len(batch.content)
        self._sequence += 1
        self._batches[self._sequence] = batch
        return self._sequence

    def _retry_due(self) -> float | None:
        """Seconds until a batch that waits may be sent again."""
        times = [b.not_before for b in self._batches.values() if b.state is State.READY]
        return max(min(times) - time.monotonic(), 0.0) if times else None

    def _forget(self, sequence: int) -> int:
        batch = self._batches.pop(sequence, None)
        if batch is None:
            return 0
        self._snapshots -= batch.snapshots
        self._bytes -= len(batch.content)
        return batch.snapshots

    def _drop_oldest(self) -> None:
        # What is accepted is no longer in danger and goes before what is not.
        for sequence, batch in self._batches.items():
            if _is_accepted(batch):
                self._forget(sequence)
                return
        if self._batches:
            self.dropped += self._forget(next(iter(self._batches)))
        else:
            self._bytes -= len(self._waiting.popleft())
            self._snapshots -= 1
            self.dropped += 1
        now = time.monotonic()
        if now >= self._drop_logged + DROP_LOG_PERIOD:
            self._drop_logged = now
            log.warning("the outbox is full; %d snapshots dropped so far", self.dropped)


def _is_accepted(batch: Batch) -> bool:
    return batch.state is State.ACCEPTED
