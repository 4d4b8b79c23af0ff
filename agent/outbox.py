import asyncio
import collections
import dataclasses
import enum
import itertools
import logging
import random
import time
from collections.abc import Callable, Iterable

from agent import payload
from agent.backlog import Backlog
from agent.errors import ItemDamagedError
from agent.items import Item, Kind, Mark, Reason, Span
from agent.store import Store
from flotilla.v1.agent_pb2 import MessageToServer
from flotilla.v1.docker_pb2 import DockerInfoBatch, DockerSnapshot
from flotilla.v1.metrics_pb2 import (
    BatchHeader,
    DropReport,
    GenericMetric,
    GenericMetricsBatch,
    PerformanceSnapshot,
    PerformanceSnapshotBatch,
)

log = logging.getLogger(__name__)

BATCH_ITEMS = 100
BATCH_COUNT = 1_000  # metrics
BATCH_BYTES = 256 * 1024
UNACCEPTED_LIMIT = 8  # batches of each lane
# The newest are at hand in memory; what does not fit is read from the backlog again.
LIVE_LIMIT = 32  # items
LIVE_BYTES = 256 * 1024
# The backlog's pace, give or take the jitter, so that a fleet that comes back does not
# come as one.
DRAIN_BATCHES = 50.0  # a second
DRAIN_BYTES = 500_000.0  # a second
DRAIN_JITTER = 0.2
DRAIN_START = 1.0  # seconds after a connection, at most
# Accepted batches wait in memory for the word that they are durable; more than these are
# written down as accepted and known by the spool alone.
ACCEPTED_LIMIT = 256  # batches
# One that was accepted, while later ones became durable, was lost with its stream.
LOST_AFTER = 600  # seconds
WATCH_INTERVAL = 60.0  # seconds
RETRY_MIN, RETRY_MAX = 0.1, 300.0  # seconds


class State(enum.Enum):
    READY = enum.auto()
    SENT = enum.auto()
    ACCEPTED = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Extent:
    count: int
    oldest: int  # Unix milliseconds
    newest: int

    @classmethod
    def of(cls, items: list[Item]) -> "Extent":
        times = [item.time for item in items]
        return cls(sum(item.count for item in items), min(times), max(times))


@dataclasses.dataclass(slots=True)
class Batch:
    sequence: int
    span: Span
    live: bool
    items: list[Item]  # until they are accepted
    reports: tuple[DropReport, ...]
    extent: Extent | None = None  # of the items that were accepted
    state: State = State.READY
    not_before: float = 0.0  # monotonic
    accepted_at: int = 0  # Unix seconds

    def size(self) -> int:
        return sum(item.size for item in self.items)


class Outbox:
    """Everything measured, on its way to the server in two lanes.

    What has just been measured goes first and at once. What could not be sent when it was
    new follows at a bounded pace, the oldest first. Both take their sequence numbers from
    one count, and a batch keeps number and content until it is accepted.
    """

    def __init__(self, vps_id: str, store: Store | None = None) -> None:
        self._vps_id = vps_id
        self._store = store or Store()
        self._store.adopted = self._adopt
        self._live: collections.deque[Item] = collections.deque()
        self._live_bytes = 0
        self._backlog = {kind: Backlog(kind) for kind in Kind}
        self._batches: dict[int, Batch] = {}
        self._drain_due = 0.0  # monotonic
        self._proven = 0  # Unix seconds; what was accepted by then should be durable
        self._changed = asyncio.Event()

    @property
    def epoch(self) -> str:
        return self._store.epoch

    @property
    def dropped(self) -> int:
        return self._store.drops.count

    def add(self, measured: PerformanceSnapshot | DockerSnapshot) -> None:
        if isinstance(measured, PerformanceSnapshot):
            batch = PerformanceSnapshotBatch(snapshots=[measured])
            self._add(Kind.PERFORMANCE, measured.time_unix_ms, 1, batch)
        else:
            docker = DockerInfoBatch(snapshots=[measured])
            self._add(Kind.DOCKER, measured.time_unix_ms, 1, docker)

    def add_metrics(self, metrics: list[GenericMetric]) -> None:
        if metrics:
            batch = GenericMetricsBatch(metrics=metrics)
            self._add(Kind.GENERIC, metrics[0].time_unix_ms, len(metrics), batch)

    def _add(self, kind: Kind, moment: int, count: int, batch: payload.Payload) -> None:
        item = self._store.add(kind, moment, count, *payload.packed(batch))
        self._live.append(item)
        self._live_bytes += item.size
        while len(self._live) > LIVE_LIMIT or self._live_bytes > LIVE_BYTES:
            late = self._pop_live()
            self._backlog[late.kind].add(late.id, late.id)
        while self._store.overfull():
            self._make_room()
        self._changed.set()

    def _pop_live(self) -> Item:
        item = self._live.popleft()
        self._live_bytes -= item.size
        return item

    def _make_room(self) -> None:
        # What is accepted is no longer in danger and goes before what is not.
        for batch in self._batches.values():
            if batch.state is State.ACCEPTED:
                self._store.drops.stray(batch.reports)
                self._finish(batch)
                return
        item = self._store.drop_oldest()
        if self._live and self._live[0] is item:
            self._pop_live()

    async def next_message(self) -> MessageToServer:
        """The next batch that may be sent, as soon as there is one."""
        while True:
            self._changed.clear()
            batch = self._next_live() or await self._next_of_backlog()
            if batch:
                try:
                    message = self._message(batch)
                except ItemDamagedError:
                    self._drop_damaged(batch)
                    continue
                batch.state = State.SENT
                return message
            try:
                await asyncio.wait_for(self._changed.wait(), self._wait())
            except asyncio.TimeoutError:
                continue

    def _next_live(self) -> Batch | None:
        if batch := self._ready(live=True):
            return batch
        if not self._live or not self._may_fill(live=True):
            return None
        kind = self._live[0].kind
        fits = room()
        taken = list(itertools.takewhile(fits, (item for item in self._live if item.kind == kind)))
        for item in taken:
            self._live.remove(item)
            self._live_bytes -= item.size
        return self._fill(taken, live=True)

    async def _next_of_backlog(self) -> Batch | None:
        if time.monotonic() < self._drain_due:
            return None
        batch = self._ready(live=False)
        if batch is None and self._may_fill(live=False):
            batch = await self._fill_from_backlog()
        if batch:
            pace = max(1 / DRAIN_BATCHES, batch.size() / DRAIN_BYTES)
            jitter = random.uniform(1 - DRAIN_JITTER, 1 + DRAIN_JITTER)  # noqa: S311  # spreads load
            self._drain_due = time.monotonic() + pace * jitter
        return batch

    async def _fill_from_backlog(self) -> Batch | None:
        # In turn, so that a long backlog of one kind does not hold up the others.
        for kind in sorted(Kind, key=self._last_of):
            backlog = self._backlog[kind]
            while backlog:
                asked = backlog.front()
                items = await self._store.read(asked, room())
                # A spool that was opened meanwhile has numbers of its own.
                if self._backlog[kind] is not backlog:
                    return None
                backlog.taken(asked, items[-1].id if items else asked.last)
                if items:
                    return self._fill(items, live=False)
        return None

    def _last_of(self, kind: Kind) -> int:
        return max(
            (b.sequence for b in self._batches.values() if b.span.kind == kind and not b.live),
            default=0,
        )

    def _ready(self, *, live: bool) -> Batch | None:
        now = time.monotonic()
        for batch in self._batches.values():
            if batch.live == live and batch.state is State.READY and batch.not_before <= now:
                return batch
        return None

    def _may_fill(self, *, live: bool) -> bool:
        waiting = sum(
            batch.live == live and batch.state is not State.ACCEPTED
            for batch in self._batches.values()
        )
        return waiting < UNACCEPTED_LIMIT

    def _fill(self, items: list[Item], *, live: bool) -> Batch:
        self._store.sequence += 1
        span = Span(items[0].kind, items[0].id, items[-1].id)
        batch = Batch(self._store.sequence, span, live, items, self._store.drops.report())
        self._batches[batch.sequence] = batch
        return batch

    def _drop_damaged(self, batch: Batch) -> None:
        """Before it is first sent: a batch keeps its content from then on."""
        kind = batch.span.kind
        for item in [item for item in batch.items if not payload.is_whole(item)]:
            batch.items.remove(item)
            self._store.remove(Span(kind, item.id, item.id))
            self._store.lost(Reason.DAMAGED, kind, item.count, item.time, item.time)
        if not batch.items:
            self._store.drops.stray(batch.reports)
            self._finish(batch)

    def _message(self, batch: Batch) -> MessageToServer:
        header = BatchHeader(
            vps_id=self._vps_id,
            epoch=self.epoch,
            sequence=batch.sequence,
            sent_at_unix_ms=time.time_ns() // 1_000_000,
            drops=batch.reports,
        )
        return payload.message(batch.span.kind, batch.items, header)

    def _wait(self) -> float | None:
        """Seconds until something may be sent that may not yet."""
        due = [b.not_before for b in self._batches.values() if b.live and b.state is State.READY]
        late = [b for b in self._batches.values() if not b.live and b.state is State.READY]
        if late or (any(self._backlog.values()) and self._may_fill(live=False)):
            soonest = min((batch.not_before for batch in late), default=0.0)
            due.append(max(soonest if late else 0.0, self._drain_due))
        return max(min(due) - time.monotonic(), 0.0) if due else None

    def accepted(self, sequences: Iterable[int]) -> None:
        for sequence in sequences:
            batch = self._batches.get(sequence)
            if batch and batch.state is not State.ACCEPTED:
                batch.state = State.ACCEPTED
                batch.accepted_at = int(time.time())
                batch.extent = Extent.of(batch.items) if batch.items else None
                batch.items = []
                # In the order of acceptance, which is that of becoming durable.
                self._batches[sequence] = self._batches.pop(sequence)
        waiting = [b for b in self._batches.values() if b.state is State.ACCEPTED]
        for batch in waiting[:-ACCEPTED_LIMIT]:
            del self._batches[batch.sequence]
            # Nobody will know here when it is durable: another batch tells of these again.
            self._store.drops.stray(batch.reports)
            self._store.accept(Mark(batch.span, batch.sequence, batch.accepted_at))
        self._changed.set()

    def durable(self, sequences: Iterable[int]) -> None:
        for sequence in sequences:
            if batch := self._batches.get(sequence):
                self._proven = max(self._proven, batch.accepted_at)
                self._store.reported(batch.reports)
                self._finish(batch)
            else:
                self._store.remove_sequence(sequence)
        self._changed.set()

    def refuse(self, sequences: Iterable[int], reason: str) -> None:
        for sequence in sequences:
            if batch := self._batches.get(sequence):
                self._store.drops.stray(batch.reports)
                self._finish(batch)
                self._count_refused(batch, reason)
        self._changed.set()

    def _count_refused(self, batch: Batch, reason: str) -> None:
        lost = Extent.of(batch.items) if batch.items else batch.extent
        if lost is None:
            return
        kind = batch.span.kind
        self._store.lost(Reason.REFUSED, kind, lost.count, lost.oldest, lost.newest)
        log.error("the server refused %d of %s: %s", lost.count, kind.name.lower(), reason)

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
        self._drain_due = time.monotonic() + random.uniform(0, DRAIN_START)  # noqa: S311  # spreads load
        self._changed.set()

    async def settled(self) -> None:
        """Wait until everything new has been accepted."""
        while self._live or any(
            batch.live and batch.state is not State.ACCEPTED for batch in self._batches.values()
        ):
            self._changed.clear()
            await self._changed.wait()

    async def watch(self) -> None:
        """Look for ever for what was accepted and yet got lost."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            await self.revive(int(time.time()) - LOST_AFTER)

    async def revive(self, before: int) -> None:
        """Send again what was accepted before this Unix second and before something now durable.

        Without the second the database is merely away, and resending would fill the stream.
        """
        before = min(before, self._proven)
        for batch in list(self._batches.values()):
            if batch.state is State.ACCEPTED and batch.accepted_at < before:
                del self._batches[batch.sequence]
                self._store.drops.stray(batch.reports)
                self._backlog[batch.span.kind].add(batch.span.first, batch.span.last)
        for span in await self._store.revive(before) if self._proven else []:
            self._backlog[span.kind].add(span.first, span.last)
        self._changed.set()

    def keep_accepted(self) -> None:
        """Before the end: write down what need not be sent again by the next process."""
        for batch in self._batches.values():
            if batch.state is State.ACCEPTED:
                self._store.accept(Mark(batch.span, batch.sequence, batch.accepted_at))

    def _finish(self, batch: Batch) -> None:
        del self._batches[batch.sequence]
        self._store.remove(batch.span)

    def _adopt(self, spans: list[Span]) -> None:
        self._batches.clear()
        self._live.clear()
        self._live_bytes = 0
        self._backlog = {kind: Backlog(kind) for kind in Kind}
        for span in spans:
            self._backlog[span.kind].add(span.first, span.last)
        self._changed.set()


def room() -> Callable[[Item], bool]:
    """Tells of one item after the other whether it still fits into a batch; the first does."""
    items = count = size = 0

    def fits(item: Item) -> bool:
        nonlocal items, count, size
        items, count, size = items + 1, count + item.count, size + item.size
        return items == 1 or (items <= BATCH_ITEMS and count <= BATCH_COUNT and size <= BATCH_BYTES)

    return fits
