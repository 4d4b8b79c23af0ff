import asyncio
import contextlib
import dataclasses
import itertools
import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from agent import salvage
from agent.drops import Drops
from agent.errors import SpoolDamagedError, SpoolError, SpoolFullError
from agent.items import Changes, Item, Kind, Mark, Quota, Reason, Span
from agent.seldom import Seldom
from agent.spool import Spool
from flotilla.v1.metrics_pb2 import DropReport

T = TypeVar("T")

log = logging.getLogger(__name__)

ITEM_LIMIT = 10_000
BYTE_LIMIT = 32 * 1024 * 1024
COMMIT_ITEMS = 500
# Deletions wait for the next item, to be written with it in the same pages; not longer than this.
IDLE = 30.0  # seconds
REST = 10.0  # seconds until a disk that took nothing is tried again
LOG_PERIOD = 60.0  # seconds


class Store:
    """Items: in memory until the disk has them, on the disk until they are not needed.

    Without a path, or while the disk takes nothing, memory holds them within its bounds.
    Everything the disk is asked runs in one thread of its own.
    """

    def __init__(self, path: Path | None = None, quota: Quota | None = None) -> None:
        self.epoch = os.urandom(8).hex()
        self.sequence = 0  # the last one given to a batch
        self.drops = Drops()
        # Called with what waits in a spool that was opened; earlier numbers mean nothing then.
        self.adopted: Callable[[list[Span]], None] = lambda _: None
        self._path = path
        self._quota = quota or Quota()
        self._spool: Spool | None = None
        self._thread = ThreadPoolExecutor(1, "spool") if path else None
        self._memory: dict[tuple[Kind, int], Item] = {}
        self._memory_bytes = 0
        self._ids = dict.fromkeys(Kind, 0)
        self._changes = Changes()
        self._writing = asyncio.Lock()
        self._work = asyncio.Event()
        self._stopping = asyncio.Event()
        self._writable = False
        self._may_log = Seldom(LOG_PERIOD)

    def add(self, kind: Kind, moment: int, count: int, size: int, content: bytes) -> Item:
        self._ids[kind] += 1
        item = Item(kind, self._ids[kind], moment, count, size, content)
        self._remember(item)
        self._work.set()
        return item

    def overfull(self) -> bool:
        """Whether memory holds more than it may, since the disk does not take it."""
        return len(self._memory) > ITEM_LIMIT or self._memory_bytes > BYTE_LIMIT

    def drop_oldest(self) -> Item:
        item = next(iter(self._memory.values()))
        self._forget((item.kind, item.id))
        self.lost(Reason.MEMORY, item.kind, item.count, item.time, item.time)
        return item

    def lost(self, reason: Reason, kind: Kind, count: int, first: int, last: int) -> None:
        self.drops.lost(reason, kind, count, first, last)

    def reported(self, reports: Iterable[DropReport]) -> None:
        self._changes.reported += self.drops.arrived(reports)

    def remove(self, span: Span) -> None:
        for number in range(span.first, span.last + 1):
            self._forget((span.kind, number))
        removed = self._changes.remove
        before = removed[-1] if removed else None
        if before and (before.kind, before.last + 1) == (span.kind, span.first):
            removed[-1] = dataclasses.replace(before, last=span.last)
        elif self._thread:
            removed.append(span)

    def remove_sequence(self, sequence: int) -> None:
        if self._spool:
            self._changes.remove_sequences.append(sequence)

    def accept(self, mark: Mark) -> None:
        """Keep on the disk alone that this was accepted; without a disk, forget it."""
        if self._writable:
            self._changes.accept.append(mark)
            self._work.set()
        else:
            for number in range(mark.span.first, mark.span.last + 1):
                self._forget((mark.span.kind, number))

    async def read(self, span: Span, fits: Callable[[Item], bool]) -> list[Item]:
        """The first unbroken run of the span, for as long as it fits."""
        young = {
            number: item
            for (kind, number), item in self._memory.items()
            if kind == span.kind and span.first <= number <= span.last
        }
        run: list[Item] = []
        oldest = min(young, default=span.last + 1)
        if oldest > span.first:
            stored = dataclasses.replace(span, last=oldest - 1)
            run = await self._ask(lambda spool: spool.read(stored, fits), [])
        if run and run[-1].id + 1 != oldest:
            return run
        for number in itertools.count(oldest):
            if number not in young or not fits(young[number]):
                break
            run.append(young[number])
        return run

    async def revive(self, before: int) -> list[Span]:
        """What was accepted before this Unix second and never became durable."""
        return await self._ask(lambda spool: spool.revive(before), [])

    async def open(self) -> None:
        """Take up what an earlier process left."""
        if self._thread is None or self._path is None:
            return
        loop = asyncio.get_running_loop()
        try:
            spool, losses = await loop.run_in_executor(
                self._thread, salvage.open_or_replace, self._path, self._quota
            )
        except (SpoolError, SpoolDamagedError) as error:
            self._complain(error)
            return
        for loss in losses:
            self.lost(loss.reason, loss.kind, loss.count, loss.first, loss.last)
        self._spool = spool
        kept = await self._ask(lambda spool: (spool.claim(), spool.spans(), spool.drops()), None)
        if kept is None:
            await self._shut()
            return
        self.sequence, spans, drops = kept
        self.drops.adopt(drops, same=spool.epoch == self.epoch, after=self.sequence)
        self.epoch = spool.epoch
        self._changes = Changes()
        self._writable = True
        self.adopted([*spans, *self._renumber(spans)])

    def _renumber(self, spans: list[Span]) -> list[Span]:
        """Number what is in memory on from what is in the spool."""
        for kind in Kind:
            self._ids[kind] = max((span.last for span in spans if span.kind == kind), default=0)
        first = dict(self._ids)
        young, self._memory, self._memory_bytes = self._memory, {}, 0
        for item in young.values():
            self._ids[item.kind] += 1
            self._remember(dataclasses.replace(item, id=self._ids[item.kind]))
        return [
            Span(kind, first[kind] + 1, last)
            for kind, last in self._ids.items()
            if last > first[kind]
        ]

    async def run(self) -> None:
        """Write, as soon as there is something, until told to stop."""
        while self._thread is not None and not self._stopping.is_set():
            await _either(self._work, IDLE)
            self._work.clear()
            if not await self.write():
                await _either(self._stopping, REST)
            elif self._memory:
                self._work.set()

    def stop(self) -> None:
        self._stopping.set()
        self._work.set()

    async def write(self) -> bool:
        """Bring what is in memory to the disk; whether that went well."""
        async with self._writing:
            return await self._write()

    async def _write(self) -> bool:
        if self._spool is None:
            await self.open()
        changes, self._changes = self._changes, Changes()
        changes.drops, self.drops.changed = self.drops.changed, {}
        changes.free_drops = self.drops.reserve()
        changes.add = list(itertools.islice(self._memory.values(), COMMIT_ITEMS))
        committed = await self._ask(lambda spool: spool.commit(changes), None)
        self._writable = committed is not None and committed.added
        if committed is None:
            self._put_back(changes)
            return False
        for drop in committed.drops:
            self._changes.reported += self.drops.take(drop)
        if not committed.added:
            self._complain("too little space is left on the disk")
            return False
        for item in changes.add:
            self._forget((item.kind, item.id))
        return True

    def _put_back(self, changes: Changes) -> None:
        later = self._changes
        later.remove[:0] = changes.remove
        later.remove_sequences[:0] = changes.remove_sequences
        later.accept[:0] = changes.accept
        later.reported[:0] = changes.reported
        self.drops.changed = {**changes.drops, **self.drops.changed}

    async def close(self) -> None:
        """Write what is left and let go of the file."""
        if self._thread is None:
            return
        if self._spool:
            while await self.write() and self._memory:
                pass
            await self._shut()
        self._thread.shutdown(wait=False)

    async def _ask(self, question: Callable[[Spool], T], otherwise: T) -> T:
        """Asks in the spool's thread; a spool that fails is closed, to be opened anew later."""
        spool = self._spool
        if spool is None or self._thread is None:
            return otherwise
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, question, spool)
        except SpoolFullError as error:
            self._complain(error)
        except (SpoolError, SpoolDamagedError) as error:
            self._complain(error)
            if self._spool is spool:
                await self._shut()
                self._work.set()
        return otherwise

    async def _shut(self) -> None:
        spool, self._spool = self._spool, None
        if spool and self._thread:
            self._writable = False
            await asyncio.get_running_loop().run_in_executor(self._thread, spool.close)

    def _complain(self, problem: object) -> None:
        if self._may_log():
            log.error("%s; measurements are kept in memory meanwhile", problem)

    def _remember(self, item: Item) -> None:
        self._memory[item.kind, item.id] = item
        self._memory_bytes += len(item.content)

    def _forget(self, key: tuple[Kind, int]) -> None:
        if item := self._memory.pop(key, None):
            self._memory_bytes -= len(item.content)


async def _either(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
