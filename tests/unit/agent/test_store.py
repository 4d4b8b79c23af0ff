import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import outbox as outbox_module
from agent import store as store_module
from agent.items import Drop, Kind, Quota, Reason
from agent.spool import SEQUENCES, Spool
from agent.store import Store
from flotilla.v1.docker_pb2 import DockerSnapshot
from flotilla.v1.metrics_pb2 import (
    DropReport,
    GenericMetric,
    NetworkInterfaceStats,
    PerformanceSnapshot,
)
from services.ingest.checks import check_batch
from tests.unit.agent.disk import small_disk
from tests.unit.agent.edge import soon
from tests.unit.agent.keeping import Kept, kept
from tests.unit.agent.running import logged

NOW = time.time_ns() // 1_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, megabytes=4) as folder:
        yield folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "REST", 0.05)
    monkeypatch.setattr(outbox_module, "DRAIN_START", 0.0)


async def drained(keeping: Kept, count: int) -> list[int]:
    """Times in the order they were sent, all of them accepted and durable."""
    times: list[int] = []
    while len(times) < count:
        batch = await keeping.batch()
        times += [snapshot.time_unix_ms for snapshot in batch.snapshots]
        keeping.outbox.accepted([batch.header.sequence])
        keeping.outbox.durable([batch.header.sequence])
    return times


async def test_after_a_crash_everything_written_is_sent_in_order_under_new_numbers(
    path: Path,
) -> None:
    before = Kept(path)
    await before.begin()
    before.add(*range(NOW, NOW + 250))
    first = await before.batch()
    await before.written()
    await before.crash()

    async with kept(path) as after:
        assert after.outbox.epoch == first.header.epoch
        again = await after.batch()
        assert again.header.sequence == SEQUENCES + 1
        after.outbox.durable([again.header.sequence])
        times = [snapshot.time_unix_ms for snapshot in again.snapshots]
        assert times + await drained(after, 150) == list(range(NOW, NOW + 250))
        await after.store.write()
        assert await after.stored() == 0


async def test_a_clean_end_remembers_what_was_accepted(path: Path) -> None:
    async with kept(path) as before:
        before.add(NOW, NOW + 1)
        accepted = await before.batch()
        before.outbox.accepted([accepted.header.sequence])
        before.add(NOW + 2)

    async with kept(path) as after:
        assert await after.times() == [NOW + 2]
        after.outbox.durable([accepted.header.sequence])
        await after.store.write()
        assert await after.stored() == 1


async def test_durable_items_leave_the_file_with_the_next_write(path: Path) -> None:
    async with kept(path) as keeping:
        keeping.add(*range(NOW, NOW + 3))
        await keeping.written()
        assert await keeping.stored() == 3

        await drained(keeping, 3)
        keeping.add(NOW + 3)
        await keeping.written()

        assert await keeping.stored() == 1


async def test_the_three_kinds_share_one_count_of_sequences(path: Path) -> None:
    async with kept(path) as keeping:
        keeping.outbox.add(PerformanceSnapshot(time_unix_ms=NOW))
        keeping.outbox.add(DockerSnapshot(time_unix_ms=NOW))
        keeping.outbox.add_metrics([GenericMetric(time_unix_ms=NOW, name="queue", value=3)])

        sent = [await soon(keeping.outbox.next_message()) for _ in range(3)]

    assert [message.WhichOneof("payload") for message in sent] == [
        "performance",
        "docker",
        "generic",
    ]
    headers = [sent[0].performance.header, sent[1].docker.header, sent[2].generic.header]
    assert [header.sequence for header in headers] == [1, 2, 3]
    assert {header.epoch for header in headers} == {keeping.outbox.epoch}
    assert sent[2].generic.metrics[0].value == 3


async def test_a_backlog_of_every_kind_is_sent_in_turn(path: Path) -> None:
    async with kept(path) as before:
        for moment in range(NOW, NOW + 150):
            before.outbox.add(PerformanceSnapshot(time_unix_ms=moment))
            before.outbox.add_metrics([GenericMetric(time_unix_ms=moment, name="m")] * 20)

    async with kept(path) as after:
        sent = [await soon(after.outbox.next_message()) for _ in range(5)]

    kinds = [message.WhichOneof("payload") for message in sent]
    assert kinds == ["performance", "generic", "performance", "generic", "generic"]
    assert [len(message.generic.metrics) for message in sent] == [0, 1_000, 0, 1_000, 1_000]


async def test_new_measurements_overtake_a_backlog_that_keeps_to_its_pace(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "DRAIN_BATCHES", 20.0)
    async with kept(path) as before:
        before.add(*range(NOW, NOW + 2_000))

    async with kept(path) as after:
        began = added = time.monotonic()
        old: list[int] = []
        waits: list[float] = []
        number = 0
        while len(old) < 2_000:
            if len(old) // 100 > number:
                number = len(old) // 100
                after.add(NOW + 1_000_000 + number)
                added = time.monotonic()
            batch = await after.batch()
            after.outbox.accepted([batch.header.sequence])
            if batch.snapshots[0].time_unix_ms > NOW + 1_000_000:
                waits.append(time.monotonic() - added)
            else:
                old += [snapshot.time_unix_ms for snapshot in batch.snapshots]
        took = time.monotonic() - began

    assert old == list(range(NOW, NOW + 2_000))
    assert took >= 19 / 20 * (1 - outbox_module.DRAIN_JITTER)
    assert len(waits) == 19
    assert max(waits) < 0.05


async def test_the_pace_is_bounded_in_bytes_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "DRAIN_BYTES", 2_000.0)
    async with kept(path) as before:
        before.add(*range(NOW, NOW + 200))

    async with kept(path) as after:
        began = time.monotonic()
        batches = [await after.batch(), await after.batch()]
        took = time.monotonic() - began

    size = batches[0].ByteSize() - batches[0].header.ByteSize()
    assert took >= size / 2_000 * 0.75


async def test_accepted_batches_beyond_the_limit_are_known_by_the_file_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "ACCEPTED_LIMIT", 2)
    async with kept(path) as keeping:
        sequences = []
        for moment in range(NOW, NOW + 6):
            keeping.add(moment)
            sequences.append((await keeping.batch()).header.sequence)
            await keeping.written()
            keeping.outbox.accepted(sequences[-1:])
        assert len(keeping.outbox._batches) == 2
        await keeping.store.write()

        keeping.outbox.durable(sequences)
        await keeping.store.write()

        assert await keeping.stored() == 0


async def test_what_was_accepted_is_sent_again_only_when_later_ones_became_durable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "ACCEPTED_LIMIT", 1)
    async with kept(path) as keeping:
        sequences = []
        for moment in range(NOW, NOW + 4):
            monkeypatch.setattr(time, "time", lambda at=moment: at - NOW + 1_000)
            keeping.add(moment)
            sequences.append((await keeping.batch()).header.sequence)
            await keeping.written()
            keeping.outbox.accepted(sequences[-1:])
        await keeping.store.write()

        await keeping.outbox.revive(before=2_000)
        assert not any(keeping.outbox._backlog.values())
        keeping.outbox.durable(sequences[-1:])
        await keeping.outbox.revive(before=2_000)

        again = await keeping.batch()
        assert [snapshot.time_unix_ms for snapshot in again.snapshots] == [NOW, NOW + 1, NOW + 2]
        assert again.header.sequence > sequences[-1]


async def test_what_the_quota_took_is_told_until_it_is_durable(path: Path) -> None:
    async with kept(path, Quota(age=3_600)) as keeping:
        long_ago = NOW - 4_000_000
        keeping.add(long_ago, long_ago + 5)
        await keeping.written()
        keeping.add(NOW)
        await keeping.written()
        keeping.add(NOW + 1)

        told = await keeping.batch()

        assert list(told.header.drops) == [
            DropReport(
                id=1,
                reason=DropReport.REASON_AGE,
                kind=DropReport.KIND_PERFORMANCE,
                count=2,
                first_unix_ms=long_ago,
                last_unix_ms=long_ago + 5,
            )
        ]
        keeping.outbox.resend()
        assert (await keeping.batch()).header.drops == told.header.drops
        await keeping.store.write()

    async with kept(path) as after:
        again = await after.batch()
        assert again.header.drops == told.header.drops
        after.outbox.durable([again.header.sequence])

    async with kept(path) as done:
        done.add(NOW + 2)
        assert not (await done.batch()).header.drops


async def lossy(store: Store, *, count: int) -> None:
    """One commit in which the quota takes so many."""
    for moment in range(count):
        store.add(Kind.PERFORMANCE, NOW - 4_000_000 + moment, 1, 1, b"x")
    assert await soon(store.write())


async def test_an_agent_killed_right_after_a_loss_knows_of_it_still(path: Path) -> None:
    store = Store(path, Quota(age=3_600))
    await store.open()
    await lossy(store, count=3)
    await store._shut()

    async with kept(path, Quota(age=3_600)) as after:
        after.add(NOW)
        (told,) = (await after.batch()).header.drops

    assert (told.reason, told.count) == (DropReport.REASON_AGE, 3)


async def test_losses_of_many_commits_are_one_stretch_in_memory_and_on_the_disk(
    path: Path,
) -> None:
    store = Store(path, Quota(age=3_600))
    await store.open()
    for count in (3, 2, 4):
        await lossy(store, count=count)
    store.lost(Reason.AGE, Kind.PERFORMANCE, 1, NOW - 5_000_000, NOW - 5_000_000)
    await store.write()

    first, last = NOW - 5_000_000, NOW - 4_000_000 + 3
    stretch = Drop(1, Reason.AGE, Kind.PERFORMANCE, 10, first, last)
    assert list(store.drops._drops.values()) == [stretch]
    await store.close()
    assert Spool(path, Quota()).drops() == [stretch]


@pytest.mark.parametrize(
    "damage",
    ["content = x'00'", "content = 'text'", "content = zeroblob(9), time = -7, count = -1"],
)
async def test_what_cannot_be_read_any_more_is_counted_and_the_rest_is_sent(
    path: Path, damage: str
) -> None:
    async with kept(path) as before:
        before.add(*range(NOW, NOW + 150))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        torn = f"UPDATE items SET {damage} WHERE (key & 0xffff) <= 100 OR (key & 0xffff) = 105"
        assert db.execute(torn).rowcount == 101

    async with kept(path) as after:
        batch = await after.batch()

        rest = [moment for moment in range(NOW + 100, NOW + 150) if moment != NOW + 104]
        assert [snapshot.time_unix_ms for snapshot in batch.snapshots] == rest
        (told,) = batch.header.drops
        assert (told.reason, told.count) == (DropReport.REASON_DAMAGED, 100)
        assert after.outbox.dropped == 101
        check_batch("v", batch)
        after.outbox.durable([batch.header.sequence])
        await after.store.write()
        assert await after.stored() == 0


async def test_a_stretch_with_impossible_times_is_told_within_the_possible(path: Path) -> None:
    async with kept(path, Quota(age=3_600)) as keeping:
        keeping.store.lost(Reason.AGE, Kind.DOCKER, -4, -7, 1 << 62)
        keeping.add(NOW)

        batch = await keeping.batch()

    check_batch("v", batch)
    assert len(batch.header.drops) == 1


async def test_no_two_losses_of_one_spool_have_one_number(path: Path) -> None:
    told = []
    for number in range(3):
        async with kept(path) as keeping:
            keeping.store.lost(Reason.AGE, Kind.DOCKER, 1, NOW, NOW)
            keeping.add(NOW + number)
            batch = await keeping.batch()
            told += [(batch.header.epoch, drop.id) for drop in batch.header.drops]
            keeping.outbox.durable([batch.header.sequence])

    assert len(set(told)) == len(told) == 3


async def test_a_file_damaged_while_running_begins_a_new_epoch_and_loses_nothing_new(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(path) as keeping:
        epoch = keeping.outbox.epoch
        # More than SQLite has in its cache.
        for moment in range(NOW, NOW + 3_000):
            large = NetworkInterfaceStats(name=random.randbytes(250).hex())
            keeping.outbox.add(PerformanceSnapshot(time_unix_ms=moment, interfaces=[large]))
        await keeping.written()
        await keeping.store._ask(
            lambda spool: spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall(), []
        )
        with path.open("r+b") as file:
            file.seek(800_000)
            file.write(random.randbytes(100_000))

        while not keeping.reopened.is_set():
            batch = await keeping.batch()
            keeping.outbox.accepted([batch.header.sequence])
        keeping.add(NOW + 10_000)
        newest = await keeping.batch()

        assert newest.header.epoch != epoch
        assert newest.snapshots[-1].time_unix_ms == NOW + 10_000
        reasons = [drop.reason for drop in keeping.store.drops._drops.values()]
        assert reasons == [Reason.DAMAGED]
    assert "a new spool begins" in caplog.text


async def test_a_full_disk_costs_nothing_that_memory_can_hold(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept(disk / "spool.db") as keeping:
        keeping.add(NOW)
        await keeping.written()
        ballast = disk / "ballast"
        room = os.statvfs(disk)
        ballast.write_bytes(bytes(room.f_bavail * room.f_frsize - 50_000))

        keeping.add(*range(NOW + 1, NOW + 301))
        await soon(logged(caplog, "too little space"))
        assert await keeping.stored() == 1
        sent = await drained(keeping, 301)
        assert sorted(sent) == list(range(NOW, NOW + 301))
        keeping.add(NOW + 400)
        ballast.unlink()

        await keeping.written()

    assert caplog.text.count("too little space") == 1


async def test_without_a_file_memory_serves_until_the_disk_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    async with kept(folder / "spool.db") as keeping:
        epoch = keeping.outbox.epoch
        keeping.add(NOW)
        assert await keeping.times() == [NOW]

        folder.mkdir()
        await soon(keeping.reopened.wait())

        assert keeping.outbox.epoch != epoch
        assert await keeping.times() == [NOW]
        await keeping.written()
        assert await keeping.stored() == 1


async def test_memory_has_its_bound_while_the_disk_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "ITEM_LIMIT", 50)
    async with kept(tmp_path / "gone" / "spool.db") as keeping:
        keeping.add(*range(NOW, NOW + 500))

        assert len(keeping.store._memory) == 50
        assert keeping.outbox.dropped == 450
        (report,) = (await keeping.batch()).header.drops
        assert (report.reason, report.count) == (DropReport.REASON_MEMORY, 450)
        assert (report.first_unix_ms, report.last_unix_ms) == (NOW, NOW + 449)
