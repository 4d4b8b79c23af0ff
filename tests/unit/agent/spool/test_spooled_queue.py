import contextlib
import os
import random
import sqlite3
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.spool.database import REPORT_IDS, SEQUENCES, SpoolDatabase
from agent.spool.models import Kind, Loss, LossReport, Quota, Reason
from flotilla.v1.docker_pb2 import DockerSnapshot
from flotilla.v1.metrics_pb2 import (
    DropReport,
    GenericMetric,
    NetworkInterfaceStats,
    PerformanceSnapshot,
    PerformanceSnapshotBatch,
)
from services.ingest.edge.validation import check_batch
from tests.fixtures.agent.logs import logged
from tests.fixtures.agent.small_disk import small_disk
from tests.fixtures.agent.spooled_queue import QUICK, SpooledQueue, spooled_queue
from tests.fixtures.waiting import soon, until

NOW = time.time_ns() // 1_000_000
# Nothing is sent at once, as after 32 measurements without a connection.
OFFLINE = replace(QUICK, live_items=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, megabytes=4) as folder:
        yield folder


async def drained(spooled: SpooledQueue, count: int) -> list[int]:
    """Return times in the order in which they were sent. All are accepted and durable."""
    times: list[int] = []
    while len(times) < count:
        batch = await spooled.batch()
        times += [snapshot.time_unix_ms for snapshot in batch.snapshots]
        spooled.queue.accepted([batch.header.sequence])
        spooled.queue.durable([batch.header.sequence])
    return times


async def test_after_a_crash_everything_stored_is_sent_in_order_under_new_numbers(
    path: Path,
) -> None:
    before = SpooledQueue(path)
    await before.begin()
    before.add(*range(NOW, NOW + 250))
    first = await before.batch()
    await before.all_stored()
    await before.crash()

    async with spooled_queue(path) as after:
        assert after.queue.epoch == first.header.epoch
        again = await after.batch()
        assert again.header.sequence == SEQUENCES + 1
        after.queue.durable([again.header.sequence])
        times = [snapshot.time_unix_ms for snapshot in again.snapshots]
        assert times + await drained(after, 150) == list(range(NOW, NOW + 250))
        await after.queue.store()
        assert await after.stored_items() == 0


RELEASE_0_1 = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
CREATE TABLE meta (epoch TEXT NOT NULL, starts INTEGER NOT NULL);
CREATE TABLE items (
    key INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    count INTEGER NOT NULL,
    size INTEGER NOT NULL,
    content BLOB NOT NULL,
    sequence INTEGER,
    accepted_at INTEGER
);
CREATE INDEX items_sequence_idx ON items (sequence) WHERE sequence IS NOT NULL;
CREATE TABLE drops (
    id INTEGER PRIMARY KEY,
    reason INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    count INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL
);
INSERT INTO meta VALUES ('0123456789abcdef', 3);
INSERT INTO drops VALUES (2000000001, 2, 1, 5, 100, 200);
PRAGMA user_version = 1;
"""


async def test_a_spool_of_release_0_1_is_continued(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(RELEASE_0_1)
        for number, sequence in ((1, 2_000_000_001), (2, None), (3, None)):
            snapshot = PerformanceSnapshot(time_unix_ms=NOW + number)
            content = PerformanceSnapshotBatch(snapshots=[snapshot]).SerializeToString()
            packed = zlib.compress(content, 1)
            row = [(1 << 48) + number, NOW + number, 1, len(content), packed, sequence, 1]
            db.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    async with spooled_queue(path) as spooled:
        batch = await spooled.batch()

        assert batch.header.epoch == "0123456789abcdef"
        assert batch.header.sequence == 3 * SEQUENCES + 1
        assert [snapshot.time_unix_ms for snapshot in batch.snapshots] == [NOW + 2, NOW + 3]
        assert [(report.id, report.count) for report in batch.header.drops] == [(2_000_000_001, 5)]
        spooled.queue.durable([2_000_000_001, batch.header.sequence])
        await spooled.queue.store()
        assert await spooled.stored_items() == 0


async def test_accepted_items_are_not_sent_again_after_a_restart(path: Path) -> None:
    async with spooled_queue(path) as before:
        before.add(NOW, NOW + 1)
        accepted = await before.batch()
        before.queue.accepted([accepted.header.sequence])
        before.add(NOW + 2)

    async with spooled_queue(path) as after:
        assert await after.times() == [NOW + 2]
        after.queue.durable([accepted.header.sequence])
        await after.queue.store()
        assert await after.stored_items() == 1


async def test_durable_items_leave_the_file_with_the_next_commit(path: Path) -> None:
    async with spooled_queue(path) as spooled:
        spooled.add(*range(NOW, NOW + 3))
        await spooled.all_stored()
        assert await spooled.stored_items() == 3

        await drained(spooled, 3)
        spooled.add(NOW + 3)
        await spooled.all_stored()

        assert await spooled.stored_items() == 1


async def test_the_three_kinds_share_one_count_of_sequences(path: Path) -> None:
    async with spooled_queue(path) as spooled:
        spooled.queue.add(PerformanceSnapshot(time_unix_ms=NOW))
        spooled.queue.add(DockerSnapshot(time_unix_ms=NOW))
        spooled.queue.add_metrics([GenericMetric(time_unix_ms=NOW, name="queue", value=3)])

        sent = [await soon(spooled.queue.next_message()) for _ in range(3)]

    assert [message.WhichOneof("payload") for message in sent] == [
        "performance",
        "docker",
        "generic",
    ]
    headers = [sent[0].performance.header, sent[1].docker.header, sent[2].generic.header]
    assert [header.sequence for header in headers] == [1, 2, 3]
    assert {header.epoch for header in headers} == {spooled.queue.epoch}
    assert sent[2].generic.metrics[0].value == 3


async def test_a_backlog_of_every_kind_is_sent_in_turn(path: Path) -> None:
    async with spooled_queue(path) as before:
        for moment in range(NOW, NOW + 150):
            before.queue.add(PerformanceSnapshot(time_unix_ms=moment))
            before.queue.add_metrics([GenericMetric(time_unix_ms=moment, name="m")] * 20)

    async with spooled_queue(path) as after:
        sent = [await soon(after.queue.next_message()) for _ in range(5)]

    kinds = [message.WhichOneof("payload") for message in sent]
    assert kinds == ["performance", "generic", "performance", "generic", "generic"]
    assert [len(message.generic.metrics) for message in sent] == [0, 1_000, 0, 1_000, 1_000]


async def test_accepted_batches_beyond_the_limit_are_kept_only_by_the_spool(
    path: Path,
) -> None:
    async with spooled_queue(path, limits=replace(QUICK, accepted_batches=2)) as spooled:
        sequences = []
        for moment in range(NOW, NOW + 6):
            spooled.add(moment)
            sequences.append((await spooled.batch()).header.sequence)
            await spooled.all_stored()
            spooled.queue.accepted(sequences[-1:])
        assert len(spooled.queue._delivery._batches) == 2
        await spooled.queue.store()

        spooled.queue.durable(sequences)
        await spooled.queue.store()

        assert await spooled.stored_items() == 0


async def test_accepted_batches_are_sent_again_only_if_later_ones_are_durable(
    path: Path,
) -> None:
    seconds = iter(range(1_000, 2_000))
    limits = replace(QUICK, accepted_batches=1)
    async with spooled_queue(path, limits=limits, now=lambda: next(seconds)) as spooled:
        sequences = []
        for moment in range(NOW, NOW + 4):
            spooled.add(moment)
            sequences.append((await spooled.batch()).header.sequence)
            await spooled.all_stored()
            spooled.queue.accepted(sequences[-1:])
        await spooled.queue.store()

        await spooled.queue.resend_lost(before=2_000)
        assert not spooled.queue._delivery._lanes.kinds_in_backlog
        spooled.queue.durable(sequences[-1:])
        await spooled.queue.resend_lost(before=2_000)

        again = await spooled.batch()
        assert [snapshot.time_unix_ms for snapshot in again.snapshots] == [NOW, NOW + 1, NOW + 2]
        assert again.header.sequence > sequences[-1]


async def test_a_loss_by_the_quota_is_reported_until_the_report_is_durable(path: Path) -> None:
    async with spooled_queue(path, Quota(age=3_600), OFFLINE) as spooled:
        long_ago = NOW - 4_000_000
        spooled.add(long_ago, long_ago + 5)
        await spooled.all_stored()
        spooled.add(NOW)
        await spooled.all_stored()
        spooled.add(NOW + 1)

        reported = await spooled.batch()

        assert list(reported.header.drops) == [
            DropReport(
                id=REPORT_IDS + 1,
                reason=DropReport.REASON_AGE,
                kind=DropReport.KIND_PERFORMANCE,
                count=2,
                first_unix_ms=long_ago,
                last_unix_ms=long_ago + 5,
            )
        ]
        spooled.queue.stream_opened()
        assert (await spooled.batch()).header.drops == reported.header.drops
        await spooled.queue.store()

    async with spooled_queue(path) as after:
        again = await after.batch()
        assert again.header.drops == reported.header.drops
        after.queue.durable([again.header.sequence])

    async with spooled_queue(path) as done:
        done.add(NOW + 2)
        assert not (await done.batch()).header.drops


async def lose_by_age(spooled: SpooledQueue, *, count: int) -> None:
    """Store so many items that are too old, of which the spool keeps none."""
    spooled.add(*range(NOW - 4_000_000, NOW - 4_000_000 + count))
    assert await soon(spooled.queue.store())


async def test_an_agent_killed_right_after_a_loss_still_reports_it(path: Path) -> None:
    killed = SpooledQueue(path, Quota(age=3_600), OFFLINE)
    await killed.queue.open()
    await lose_by_age(killed, count=3)
    await killed.spool.close()

    async with spooled_queue(path, Quota(age=3_600)) as after:
        after.add(NOW)
        (report,) = (await after.batch()).header.drops

    assert (report.reason, report.count) == (DropReport.REASON_AGE, 3)


async def test_losses_of_many_commits_share_a_report_in_memory_and_in_the_spool(
    path: Path,
) -> None:
    spooled = SpooledQueue(path, Quota(age=3_600), OFFLINE)
    await spooled.queue.open()
    for count in (3, 2, 4):
        await lose_by_age(spooled, count=count)
    earlier = NOW - 5_000_000
    spooled.queue._delivery.report(Loss(Reason.AGE, Kind.PERFORMANCE, 1, earlier, earlier))
    await spooled.queue.store()

    loss = Loss(Reason.AGE, Kind.PERFORMANCE, 10, earlier, NOW - 4_000_000 + 3)
    report = LossReport(REPORT_IDS + 1, loss)
    assert list(spooled.queue._delivery._reports._reports.values()) == [report]
    await spooled.queue.close()
    assert SpoolDatabase(path, Quota()).reports() == [report]


@pytest.mark.parametrize(
    "damage",
    ["content = x'00'", "content = 'text'", "content = zeroblob(9), time = -7, count = -1"],
)
async def test_unreadable_items_are_counted_and_the_others_are_sent(
    path: Path, damage: str
) -> None:
    async with spooled_queue(path) as before:
        before.add(*range(NOW, NOW + 150))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        torn = f"UPDATE items SET {damage} WHERE (key & 0xffff) <= 100 OR (key & 0xffff) = 105"
        assert db.execute(torn).rowcount == 101

    async with spooled_queue(path) as after:
        batch = await after.batch()

        rest = [moment for moment in range(NOW + 100, NOW + 150) if moment != NOW + 104]
        assert [snapshot.time_unix_ms for snapshot in batch.snapshots] == rest
        (reported,) = batch.header.drops
        assert (reported.reason, reported.count) == (DropReport.REASON_DAMAGED, 100)
        assert after.queue.lost == 101
        check_batch("v", batch)
        after.queue.durable([batch.header.sequence])
        await after.queue.store()
        assert await after.stored_items() == 0


async def test_a_loss_with_impossible_values_is_reported_within_the_bounds_of_the_server(
    path: Path,
) -> None:
    async with spooled_queue(path, Quota(age=3_600)) as spooled:
        spooled.queue._delivery.report(Loss(Reason.AGE, Kind.DOCKER, -4, -7, 1 << 62))
        spooled.add(NOW)

        batch = await spooled.batch()

    check_batch("v", batch)
    assert len(batch.header.drops) == 1


async def test_no_two_losses_of_one_spool_have_one_number(path: Path) -> None:
    reported = []
    for number in range(3):
        async with spooled_queue(path) as spooled:
            spooled.queue._delivery.report(Loss(Reason.AGE, Kind.DOCKER, 1, NOW, NOW))
            spooled.add(NOW + number)
            batch = await spooled.batch()
            reported += [(batch.header.epoch, drop.id) for drop in batch.header.drops]
            spooled.queue.durable([batch.header.sequence])

    assert len(set(reported)) == len(reported) == 3


async def test_a_file_damaged_while_running_begins_a_new_epoch_and_loses_nothing_new(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with spooled_queue(path) as spooled:
        epoch = spooled.queue.epoch
        # More than SQLite has in its cache.
        for moment in range(NOW, NOW + 3_000):
            large = NetworkInterfaceStats(name=random.randbytes(250).hex())
            spooled.queue.add(PerformanceSnapshot(time_unix_ms=moment, interfaces=[large]))
        await spooled.all_stored()
        file = spooled.database._file
        await spooled.spool._run(lambda: file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        with path.open("r+b") as torn:
            torn.seek(800_000)
            torn.write(random.randbytes(100_000))

        while spooled.queue.epoch == epoch:
            batch = await spooled.batch()
            spooled.queue.accepted([batch.header.sequence])
        spooled.add(NOW + 10_000)
        newest = await spooled.batch()

        assert newest.header.epoch != epoch
        assert newest.snapshots[-1].time_unix_ms == NOW + 10_000
        reports = spooled.queue._delivery._reports._reports.values()
        assert [report.loss.reason for report in reports] == [Reason.DAMAGED]
    assert "a new spool begins" in caplog.text


async def test_a_full_disk_costs_nothing_that_memory_can_hold(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with spooled_queue(disk / "spool.db") as spooled:
        spooled.add(NOW)
        await spooled.all_stored()
        ballast = disk / "ballast"
        room = os.statvfs(disk)
        ballast.write_bytes(bytes(room.f_bavail * room.f_frsize - 50_000))

        spooled.add(*range(NOW + 1, NOW + 301))
        await soon(logged(caplog, "too little space"))
        assert await spooled.stored_items() == 1
        sent = await drained(spooled, 301)
        assert sorted(sent) == list(range(NOW, NOW + 301))
        spooled.add(NOW + 400)
        ballast.unlink()

        await spooled.all_stored()

    assert caplog.text.count("too little space") == 1


async def test_without_a_file_memory_serves_until_the_disk_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    async with spooled_queue(folder / "spool.db") as spooled:
        epoch = spooled.queue.epoch
        spooled.add(NOW)
        assert await spooled.times() == [NOW]

        folder.mkdir()
        await until(lambda: spooled.queue.epoch != epoch)

        assert spooled.queue.epoch != epoch
        assert await spooled.times() == [NOW]
        await spooled.all_stored()
        assert await spooled.stored_items() == 1


async def test_memory_has_its_bound_while_the_disk_is_away(
    tmp_path: Path,
) -> None:
    limits = replace(QUICK, memory_items=50)
    async with spooled_queue(tmp_path / "gone" / "spool.db", limits=limits) as spooled:
        spooled.add(*range(NOW, NOW + 500))

        assert len(spooled.queue._delivery._buffer) == 50
        assert spooled.queue.lost == 450
        (report,) = (await spooled.batch()).header.drops
        assert (report.reason, report.count) == (DropReport.REASON_MEMORY, 450)
        assert (report.first_unix_ms, report.last_unix_ms) == (NOW, NOW + 449)
