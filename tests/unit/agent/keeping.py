import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from agent.items import Quota, Span
from agent.outbox import Outbox
from agent.store import Store
from flotilla.v1.metrics_pb2 import PerformanceSnapshot, PerformanceSnapshotBatch
from tests.unit.agent.edge import soon


class Kept:
    """An outbox on a spool, as the running agent has it."""

    def __init__(self, path: Path, quota: Quota | None = None) -> None:
        self.store = Store(path, quota)
        self.outbox = Outbox("v", self.store)
        self.reopened = asyncio.Event()
        self._writing: asyncio.Future[None] | None = None

    async def begin(self) -> None:
        await self.store.open()
        adopted = self.store.adopted

        def adopt(spans: list[Span]) -> None:
            adopted(spans)
            self.reopened.set()

        self.store.adopted = adopt
        self._writing = asyncio.ensure_future(self.store.run())

    def add(self, *moments: int) -> None:
        for moment in moments:
            self.outbox.add(PerformanceSnapshot(time_unix_ms=moment))

    async def batch(self) -> PerformanceSnapshotBatch:
        return (await soon(self.outbox.next_message())).performance

    async def times(self) -> list[int]:
        return [snapshot.time_unix_ms for snapshot in (await self.batch()).snapshots]

    async def written(self) -> None:
        """Until nothing is in memory alone."""
        while self.store._memory:
            await soon(self.store.write())

    async def stored(self) -> int:
        count: int = await soon(
            self.store._ask(lambda spool: spool._one("SELECT count(*) FROM items"), -1)
        )
        return count

    async def crash(self) -> None:
        """As if killed: whatever was not written by now is gone."""
        assert self._writing
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
        await self.store._shut()
        assert self.store._thread
        self.store._thread.shutdown()

    async def end(self) -> None:
        self.store.stop()
        if self._writing and not self._writing.cancelled():
            await soon(self._writing)
        self.outbox.keep_accepted()
        await self.store.close()


@contextlib.asynccontextmanager
async def kept(path: Path, quota: Quota | None = None) -> AsyncIterator[Kept]:
    keeping = Kept(path, quota)
    await keeping.begin()
    yield keeping
    await keeping.end()
