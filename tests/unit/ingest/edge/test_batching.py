import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from google.protobuf.message import Message

from flotilla.v1.metrics_pb2 import (
    BatchHeader,
    PerformanceBundle,
    PerformanceSnapshot,
    PerformanceSnapshotBatch,
)
from services.ingest.edge import batching
from services.ingest.edge.batching import BatchPublisher
from services.kit.bus.connection import Bus
from services.kit.errors import TransientError


class HeldStream:
    """A stream that stores what is published and acknowledges it when it is told to."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Message]] = []
        self.published = asyncio.Event()
        self._answers: asyncio.Queue[Exception | None] = asyncio.Queue(100)

    async def store(
        self, subject: str, message: Message, *, msg_id: str, edge_id: str | None = None
    ) -> bool:
        assert msg_id
        assert edge_id == "edge"
        self.messages.append((subject, message))
        self.published.set()
        answer = await self._answers.get()
        if answer is not None:
            raise answer
        return True

    async def next_message(self) -> tuple[str, Message]:
        async with asyncio.timeout(5):
            await self.published.wait()
        self.published.clear()
        return self.messages[-1]

    def answer(self, error: Exception | None = None) -> None:
        self._answers.put_nowait(error)


@asynccontextmanager
async def running(stream: HeldStream) -> AsyncIterator[BatchPublisher]:
    publisher = BatchPublisher(cast("Bus", stream), "edge")
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def batch(vps_id: str, sequence: int = 1, size: int = 0) -> PerformanceSnapshotBatch:
    return PerformanceSnapshotBatch(
        header=BatchHeader(vps_id=vps_id, epoch="e", sequence=sequence),
        snapshots=[PerformanceSnapshot(time_unix_ms=1, cpu_core_usage_percent=[0.5] * (size // 4))],
    )


async def queue(
    publisher: BatchPublisher, *batches: PerformanceSnapshotBatch
) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(publisher.store(one)) for one in batches]
    await asyncio.sleep(0)  # each has been queued by then
    return tasks


async def test_a_single_batch_is_published_on_its_servers_subject() -> None:
    stream = HeldStream()
    async with running(stream) as publisher:
        (task,) = await queue(publisher, batch("a"))
        subject, message = await stream.next_message()
        assert not task.done()
        stream.answer()
        await task
    assert subject == "flotilla.telemetry.a.performance"
    assert isinstance(message, PerformanceSnapshotBatch)


async def test_batches_that_arrive_during_a_publish_form_one_bundle() -> None:
    stream = HeldStream()
    async with running(stream) as publisher:
        first = await queue(publisher, batch("a"))
        await stream.next_message()
        others = await queue(publisher, batch("b"), batch("c"))
        stream.answer()
        subject, bundle = await stream.next_message()
        stream.answer()
        await asyncio.gather(*first, *others)
    assert subject == "flotilla.telemetry.edge.edge.performance"
    assert isinstance(bundle, PerformanceBundle)
    assert [one.header.vps_id for one in bundle.batches] == ["b", "c"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, batching.BUNDLE_BATCHES), (100 * 1024, 2)],
    ids=["by number", "by bytes"],
)
async def test_a_bundle_stays_within_its_limits(size: int, expected: int) -> None:
    stream = HeldStream()
    async with running(stream) as publisher:
        tasks = await queue(publisher, batch("first"))
        await stream.next_message()
        count = batching.BUNDLE_BATCHES + 1
        tasks += await queue(publisher, *(batch(f"v{n}", size=size) for n in range(count)))
        stream.answer()
        _, bundle = await stream.next_message()
        assert isinstance(bundle, PerformanceBundle)
        assert len(bundle.batches) == expected
        for _ in range(count):
            stream.answer()
        await asyncio.gather(*tasks)


async def test_one_batch_above_the_byte_limit_is_published_alone() -> None:
    stream = HeldStream()
    async with running(stream) as publisher:
        tasks = await queue(publisher, batch("a", size=2 * batching.BUNDLE_BYTES))
        _, message = await stream.next_message()
        stream.answer()
        await asyncio.gather(*tasks)
    assert isinstance(message, PerformanceSnapshotBatch)


async def test_a_failed_publish_fails_each_batch_of_the_message_and_no_other() -> None:
    stream = HeldStream()
    async with running(stream) as publisher:
        (first,) = await queue(publisher, batch("a"))
        await stream.next_message()
        others = await queue(publisher, batch("b"), batch("c"))
        stream.answer()
        await stream.next_message()
        stream.answer(TransientError("The stream is full."))
        results = await asyncio.gather(first, *others, return_exceptions=True)
        (later,) = await queue(publisher, batch("d"))
        await stream.next_message()
        stream.answer()
        await later
    assert results[0] is None
    assert [str(result) for result in results[1:]] == ["The stream is full."] * 2


async def test_the_batch_of_a_stream_that_ended_is_left_out() -> None:
    stream = HeldStream()
    async with running(stream) as publisher:
        (first,) = await queue(publisher, batch("a"))
        await stream.next_message()
        ended, waiting = await queue(publisher, batch("b"), batch("c"))
        ended.cancel()
        stream.answer()
        subject, _ = await stream.next_message()
        stream.answer()
        await asyncio.gather(first, waiting)
    assert subject == "flotilla.telemetry.c.performance"
