import asyncio
import logging

import pytest

from agent.spool.models import Kind, Limits, Loss, Reason
from agent.spool.send_queue import SendQueue
from flotilla.v1.metrics_pb2 import PerformanceSnapshot, PerformanceSnapshotBatch
from tests.fixtures.waiting import soon


def fill(queue: SendQueue, *times: int) -> None:
    for time in times:
        queue.add(PerformanceSnapshot(time_unix_ms=time))


def times(batch: PerformanceSnapshotBatch) -> list[int]:
    return [snapshot.time_unix_ms for snapshot in batch.snapshots]


async def next_batch(queue: SendQueue) -> PerformanceSnapshotBatch:
    return (await soon(queue.next_message())).performance


async def nothing_to_send(queue: SendQueue) -> bool:
    """Return True if a turn of the loop brings no batch."""
    task = asyncio.ensure_future(queue.next_message())
    done, _ = await asyncio.wait({task}, timeout=0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return not done


async def test_one_snapshot_makes_a_batch_with_its_header() -> None:
    queue = SendQueue("vps-1")
    fill(queue, 7)

    batch = await next_batch(queue)

    assert times(batch) == [7]
    assert (batch.header.vps_id, batch.header.sequence) == ("vps-1", 1)
    assert batch.header.epoch == queue.epoch
    assert batch.header.sent_at_unix_ms > 0


async def test_every_queue_has_an_epoch_of_its_own() -> None:
    assert SendQueue("v").epoch != SendQueue("v").epoch


async def test_a_new_snapshot_ends_the_wait_for_a_batch() -> None:
    queue = SendQueue("v")
    waiting = asyncio.ensure_future(queue.next_message())
    await asyncio.sleep(0)

    fill(queue, 1)

    assert times((await soon(waiting)).performance) == [1]


async def test_of_many_snapshots_the_newest_go_first_and_the_others_in_order() -> None:
    queue = SendQueue("v")
    fill(queue, *range(250))

    batches = [await next_batch(queue) for _ in range(4)]

    newest = 250 - Limits().live_items
    assert [times(batch) for batch in batches] == [
        list(range(newest, 250)),
        list(range(100)),
        list(range(100, 200)),
        list(range(200, newest)),
    ]
    assert [batch.header.sequence for batch in batches] == [1, 2, 3, 4]


async def test_large_snapshots_make_small_batches() -> None:
    queue = SendQueue("v", limits=Limits(batch_bytes=20))
    fill(queue, *range(10**12, 10**12 + 3))

    assert len((await next_batch(queue)).snapshots) == 1


async def test_no_more_than_eight_batches_wait_for_acceptance() -> None:
    queue = SendQueue("v")
    for moment in range(9):
        fill(queue, moment)
        if moment < 8:
            await next_batch(queue)

    assert await nothing_to_send(queue)
    queue.accepted([1])
    assert times(await next_batch(queue)) == [8]


async def test_a_new_stream_gets_unaccepted_batches_unchanged_and_in_order() -> None:
    queue = SendQueue("v")
    sent = []
    for moment in range(3):
        fill(queue, moment)
        sent.append(await next_batch(queue))
    queue.accepted([2])
    fill(queue, 3)

    queue.stream_opened()

    again = [await next_batch(queue) for _ in range(3)]
    assert [(batch.header.sequence, times(batch)) for batch in again] == [
        (1, [0]),
        (3, [2]),
        (4, [3]),
    ]
    assert again[0].snapshots == sent[0].snapshots


async def test_a_durable_batch_is_forgotten_even_without_an_acceptance() -> None:
    queue = SendQueue("v")
    fill(queue, 1)
    await next_batch(queue)

    queue.durable([1])
    queue.stream_opened()

    assert await nothing_to_send(queue)
    assert (len(queue._delivery._buffer), queue._delivery._buffer.held) == (0, 0)


async def test_a_refused_batch_is_forgotten_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = SendQueue("v")
    fill(queue, 1, 2)
    await next_batch(queue)

    queue.refused([1], "malformed")
    queue.stream_opened()

    assert await nothing_to_send(queue)
    assert queue.lost == 2
    assert "refused 2 performance measurements: malformed" in caplog.text


async def test_a_batch_that_is_refused_after_its_acceptance_is_counted_too() -> None:
    queue = SendQueue("v")
    fill(queue, 1, 2)
    await next_batch(queue)

    queue.accepted([1])
    queue.refused([1], "set aside")
    queue.stream_opened()

    assert await nothing_to_send(queue)
    assert queue.lost == 2


async def test_a_retried_batch_is_sent_again_after_the_wait() -> None:
    queue = SendQueue("v")
    fill(queue, 1)
    await next_batch(queue)

    queue.retry([1], after=0.15)

    assert await nothing_to_send(queue)
    batch = await next_batch(queue)
    assert (batch.header.sequence, times(batch)) == (1, [1])


async def test_an_acknowledgement_of_something_unknown_changes_nothing() -> None:
    queue = SendQueue("v")
    fill(queue, 1)

    queue.accepted([5])
    queue.durable([5])
    queue.refused([5], "")
    queue.retry([5], 1)

    assert times(await next_batch(queue)) == [1]
    assert queue.lost == 0


async def test_a_full_memory_loses_the_oldest_items_and_counts_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = SendQueue("v", limits=Limits(memory_items=3))

    with caplog.at_level(logging.WARNING):
        fill(queue, *range(10))

    assert times(await next_batch(queue)) == [7, 8, 9]
    assert queue.lost == 7
    assert len([record for record in caplog.records if "have been lost" in record.message]) == 1


async def test_bytes_are_bounded_too() -> None:
    one = SendQueue("v")
    fill(one, 10**12)
    queue = SendQueue("v", limits=Limits(memory_bytes=2 * one._delivery._buffer.held))

    fill(queue, *range(10**12, 10**12 + 5))

    assert times(await next_batch(queue)) == [10**12 + 3, 10**12 + 4]
    assert queue.lost == 3


async def test_accepted_items_make_room_before_anything_is_lost() -> None:
    queue = SendQueue("v", limits=Limits(memory_items=2))
    fill(queue, 1)
    await next_batch(queue)
    queue.accepted([1])

    fill(queue, 2, 3)

    assert queue.lost == 0
    assert times(await next_batch(queue)) == [2, 3]


async def test_accepted_batches_that_are_never_reported_durable_do_not_pile_up() -> None:
    queue = SendQueue("v", limits=Limits(accepted_batches=2))
    for moment in range(5):
        fill(queue, moment)
        queue.accepted([(await next_batch(queue)).header.sequence])

    assert list(queue._delivery._batches) == [4, 5]
    assert queue.lost == 0


async def test_loss_reports_of_such_batches_are_sent_again() -> None:
    queue = SendQueue("v", limits=Limits(accepted_batches=2, loss_report_interval=0.0))
    queue._delivery.report(Loss(Reason.AGE, Kind.DOCKER, 4, 1, 2))
    reported = []
    for moment in range(4):
        fill(queue, moment)
        batch = await next_batch(queue)
        reported.append([drop.count for drop in batch.header.drops])
        queue.accepted([batch.header.sequence])

    assert reported == [[4], [], [], [4]]
    queue.durable([4])
    assert queue._delivery._reports._reports == {}


async def test_loss_reports_of_batches_that_made_room_in_memory_are_sent_again() -> None:
    queue = SendQueue("v", limits=Limits(memory_items=2, loss_report_interval=0.0))
    queue._delivery.report(Loss(Reason.AGE, Kind.DOCKER, 4, 1, 2))
    fill(queue, 1)
    reported = (await next_batch(queue)).header.drops
    queue.accepted([1])

    fill(queue, 2, 3)

    assert (await next_batch(queue)).header.drops == reported


async def test_live_accepted_waits_for_the_last_acceptance() -> None:
    queue = SendQueue("v")
    fill(queue, 1)
    await next_batch(queue)
    settled = asyncio.ensure_future(queue.live_accepted())
    await asyncio.sleep(0)
    assert not settled.done()

    queue.accepted([1])

    await soon(settled)
