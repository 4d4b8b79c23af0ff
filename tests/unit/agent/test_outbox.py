import asyncio
import logging

import pytest

from agent import drops as drops_module
from agent import outbox as module
from agent import store as store_module
from agent.items import Kind, Reason
from agent.outbox import Outbox
from flotilla.v1.metrics_pb2 import PerformanceSnapshot, PerformanceSnapshotBatch
from tests.unit.agent.edge import soon


def fill(outbox: Outbox, *times: int) -> None:
    for moment in times:
        outbox.add(PerformanceSnapshot(time_unix_ms=moment))


def times(batch: PerformanceSnapshotBatch) -> list[int]:
    return [snapshot.time_unix_ms for snapshot in batch.snapshots]


async def next_batch(outbox: Outbox) -> PerformanceSnapshotBatch:
    return (await soon(outbox.next_message())).performance


async def nothing_to_send(outbox: Outbox) -> bool:
    """True when a turn of the loop brings no batch."""
    task = asyncio.ensure_future(outbox.next_message())
    done, _ = await asyncio.wait({task}, timeout=0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return not done


async def test_one_snapshot_makes_a_batch_with_its_header() -> None:
    outbox = Outbox("vps-1")
    fill(outbox, 7)

    batch = await next_batch(outbox)

    assert times(batch) == [7]
    assert (batch.header.vps_id, batch.header.sequence) == ("vps-1", 1)
    assert batch.header.epoch == outbox.epoch
    assert batch.header.sent_at_unix_ms > 0


async def test_every_outbox_has_an_epoch_of_its_own() -> None:
    assert Outbox("v").epoch != Outbox("v").epoch


async def test_who_waits_for_a_batch_gets_it_when_a_snapshot_comes() -> None:
    outbox = Outbox("v")
    waiting = asyncio.ensure_future(outbox.next_message())
    await asyncio.sleep(0)

    fill(outbox, 1)

    assert times((await soon(waiting)).performance) == [1]


async def test_when_behind_the_newest_go_first_and_the_rest_by_the_hundred_in_order() -> None:
    outbox = Outbox("v")
    fill(outbox, *range(250))

    batches = [await next_batch(outbox) for _ in range(4)]

    newest = 250 - module.LIVE_LIMIT
    assert [times(batch) for batch in batches] == [
        list(range(newest, 250)),
        list(range(100)),
        list(range(100, 200)),
        list(range(200, newest)),
    ]
    assert [batch.header.sequence for batch in batches] == [1, 2, 3, 4]


async def test_large_snapshots_make_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 10)
    outbox = Outbox("v")
    fill(outbox, *range(10**12, 10**12 + 3))

    assert len((await next_batch(outbox)).snapshots) == 1


async def test_no_more_than_eight_batches_wait_for_acceptance() -> None:
    outbox = Outbox("v")
    for moment in range(9):
        fill(outbox, moment)
        if moment < 8:
            await next_batch(outbox)

    assert await nothing_to_send(outbox)
    outbox.accepted([1])
    assert times(await next_batch(outbox)) == [8]


async def test_a_new_stream_is_sent_what_was_not_accepted_unchanged_and_in_order() -> None:
    outbox = Outbox("v")
    sent = []
    for moment in range(3):
        fill(outbox, moment)
        sent.append(await next_batch(outbox))
    outbox.accepted([2])
    fill(outbox, 3)

    outbox.resend()

    again = [await next_batch(outbox) for _ in range(3)]
    assert [(batch.header.sequence, times(batch)) for batch in again] == [
        (1, [0]),
        (3, [2]),
        (4, [3]),
    ]
    assert again[0].snapshots == sent[0].snapshots


async def test_durable_forgets_even_when_acceptance_was_never_heard_of() -> None:
    outbox = Outbox("v")
    fill(outbox, 1)
    await next_batch(outbox)

    outbox.durable([1])
    outbox.resend()

    assert await nothing_to_send(outbox)
    assert (len(outbox._store._memory), outbox._store._memory_bytes) == (0, 0)


async def test_refused_is_forgotten_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox("v")
    fill(outbox, 1, 2)
    await next_batch(outbox)

    outbox.refuse([1], "malformed")
    outbox.resend()

    assert await nothing_to_send(outbox)
    assert outbox.dropped == 2
    assert "refused 2 of performance: malformed" in caplog.text


async def test_what_is_refused_after_it_was_accepted_is_counted_all_the_same() -> None:
    outbox = Outbox("v")
    fill(outbox, 1, 2)
    await next_batch(outbox)

    outbox.accepted([1])
    outbox.refuse([1], "set aside")
    outbox.resend()

    assert await nothing_to_send(outbox)
    assert outbox.dropped == 2


async def test_retry_sends_again_after_the_wait_and_before_what_is_newer() -> None:
    outbox = Outbox("v")
    fill(outbox, 1)
    await next_batch(outbox)

    outbox.retry([1], after=0.15)

    assert await nothing_to_send(outbox)
    batch = await next_batch(outbox)
    assert (batch.header.sequence, times(batch)) == (1, [1])


async def test_an_acknowledgement_of_something_unknown_changes_nothing() -> None:
    outbox = Outbox("v")
    fill(outbox, 1)

    outbox.accepted([5])
    outbox.durable([5])
    outbox.refuse([5], "")
    outbox.retry([5], 1)

    assert times(await next_batch(outbox)) == [1]
    assert outbox.dropped == 0


async def test_over_its_bound_the_outbox_drops_the_oldest_and_counts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "ITEM_LIMIT", 3)
    outbox = Outbox("v")

    with caplog.at_level(logging.WARNING):
        fill(outbox, *range(10))

    assert times(await next_batch(outbox)) == [7, 8, 9]
    assert outbox.dropped == 7
    assert len([record for record in caplog.records if "given up" in record.message]) == 1


async def test_bytes_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox("v")
    fill(outbox, 10**12)
    monkeypatch.setattr(store_module, "BYTE_LIMIT", 2 * outbox._store._memory_bytes)

    fill(outbox, *range(10**12 + 1, 10**12 + 5))

    assert times(await next_batch(outbox)) == [10**12 + 3, 10**12 + 4]
    assert outbox.dropped == 3


async def test_what_is_accepted_makes_room_before_anything_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_module, "ITEM_LIMIT", 2)
    outbox = Outbox("v")
    fill(outbox, 1)
    await next_batch(outbox)
    outbox.accepted([1])

    fill(outbox, 2, 3)

    assert outbox.dropped == 0
    assert times(await next_batch(outbox)) == [2, 3]


async def test_accepted_batches_whose_durable_word_got_lost_do_not_pile_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ACCEPTED_LIMIT", 2)
    outbox = Outbox("v")
    for moment in range(5):
        fill(outbox, moment)
        outbox.accepted([(await next_batch(outbox)).header.sequence])

    assert list(outbox._batches) == [4, 5]
    assert outbox.dropped == 0


async def test_what_such_batches_told_of_losses_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ACCEPTED_LIMIT", 2)
    monkeypatch.setattr(drops_module, "PERIOD", 0.0)
    outbox = Outbox("v")
    outbox._store.lost(Reason.AGE, Kind.DOCKER, 4, 1, 2)
    told = []
    for moment in range(4):
        fill(outbox, moment)
        batch = await next_batch(outbox)
        told.append([drop.count for drop in batch.header.drops])
        outbox.accepted([batch.header.sequence])

    assert told == [[4], [], [], [4]]
    outbox.durable([4])
    assert outbox._store.drops._drops == {}


async def test_what_made_room_in_memory_has_its_losses_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_module, "ITEM_LIMIT", 2)
    monkeypatch.setattr(drops_module, "PERIOD", 0.0)
    outbox = Outbox("v")
    outbox._store.lost(Reason.AGE, Kind.DOCKER, 4, 1, 2)
    fill(outbox, 1)
    told = (await next_batch(outbox)).header.drops
    outbox.accepted([1])

    fill(outbox, 2, 3)

    assert (await next_batch(outbox)).header.drops == told


async def test_settled_waits_for_the_last_acceptance() -> None:
    outbox = Outbox("v")
    fill(outbox, 1)
    await next_batch(outbox)
    settled = asyncio.ensure_future(outbox.settled())
    await asyncio.sleep(0)
    assert not settled.done()

    outbox.accepted([1])

    await soon(settled)
