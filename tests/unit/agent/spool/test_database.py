import os
import random
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agent.base import sqlite_file
from agent.base.errors import StorageDamagedError, StorageError, StorageFullError
from agent.spool import full_disk
from agent.spool.damage_recovery import open_or_replace
from agent.spool.database import SEQUENCES, SpoolDatabase
from agent.spool.models import (
    Acceptance,
    Commit,
    Item,
    Kind,
    Loss,
    LossReport,
    Quota,
    Reason,
    Span,
)
from tests.fixtures.agent.small_disk import small_disk

PERFORMANCE, DOCKER = Kind.PERFORMANCE, Kind.DOCKER
QUOTA = Quota()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, megabytes=4) as folder:
        yield folder


def item(number: int, kind: Kind = PERFORMANCE, *, size: int = 100, age: float = 0) -> Item:
    moment = int((time.time() - age) * 1000)
    return Item(kind, number, moment, 1, size, random.randbytes(size))


def items(first: int, last: int, *, size: int = 100) -> tuple[Item, ...]:
    return tuple(item(number, size=size) for number in range(first, last + 1))


def everything(_: Item) -> bool:
    return True


def read(database: SpoolDatabase, first: int, last: int, kind: Kind = PERFORMANCE) -> list[int]:
    return [found.id for found in database.read(Span(kind, first, last), everything)]


def test_stored_items_are_there_after_the_file_is_opened_again(path: Path) -> None:
    added = (item(1), item(2), item(1, DOCKER))
    database = SpoolDatabase(path, QUOTA)
    database.commit(Commit(items=added))
    database.close()

    again = SpoolDatabase(path, QUOTA)

    assert again.read(Span(PERFORMANCE, 1, 9), everything) == [*added[:2]]
    assert again.read(Span(DOCKER, 1, 9), everything) == [*added[2:]]
    assert again.spans() == [Span(PERFORMANCE, 1, 2), Span(DOCKER, 1, 1)]


def test_the_epoch_belongs_to_the_file_and_every_start_claims_other_sequences(path: Path) -> None:
    first = SpoolDatabase(path, QUOTA)
    epoch, claims = first.epoch, [first.claim_sequences()]
    first.close()

    second = SpoolDatabase(path, QUOTA)
    claims += [second.claim_sequences(), second.claim_sequences()]

    assert second.epoch == epoch
    assert claims == [0, SEQUENCES, 2 * SEQUENCES]
    path.unlink()
    assert SpoolDatabase(path, QUOTA).epoch != epoch


def test_other_users_cannot_read_the_file(path: Path) -> None:
    SpoolDatabase(path, QUOTA)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_run_ends_at_a_missing_item_or_one_that_does_not_fit(path: Path) -> None:
    database = SpoolDatabase(path, QUOTA)
    database.commit(Commit(items=items(1, 9), removed=()))
    database.commit(Commit(removed=(Span(PERFORMANCE, 4, 5),)))

    assert read(database, 1, 9) == [1, 2, 3]
    assert read(database, 4, 9) == [6, 7, 8, 9]
    assert [i.id for i in database.read(Span(PERFORMANCE, 1, 9), lambda i: i.id < 3)] == [1, 2]


def test_accepted_items_are_not_read_until_they_are_revived(path: Path) -> None:
    database = SpoolDatabase(path, QUOTA)
    mark = Acceptance(Span(PERFORMANCE, 2, 3), sequence=7, accepted_at=1_000)
    database.commit(Commit(items=items(1, 4), accepted=(mark,)))
    assert read(database, 2, 4) == [4]

    assert database.revive(before=1_000) == []
    assert database.revive(before=1_001) == [Span(PERFORMANCE, 2, 3)]

    assert read(database, 1, 4) == [1, 2, 3, 4]


def test_accepted_items_are_removed_by_their_sequence(path: Path) -> None:
    database = SpoolDatabase(path, QUOTA)
    mark = Acceptance(Span(PERFORMANCE, 2, 3), sequence=7, accepted_at=1_000)
    database.commit(Commit(items=items(1, 4), accepted=(mark,)))

    database.commit(Commit(removed_sequences=(6, 7)))

    assert database.revive(before=2_000) == []
    assert (read(database, 1, 4), read(database, 2, 4)) == ([1], [4])


def test_loss_reports_are_kept_until_they_are_settled(path: Path) -> None:
    report = LossReport(3, Loss(Reason.AGE, DOCKER, 5, 100, 200))
    database = SpoolDatabase(path, QUOTA)
    database.commit(Commit(reports=(report,)))
    database.close()

    again = SpoolDatabase(path, QUOTA)

    assert again.reports() == [report]
    again.commit(Commit(settled_reports=(3,)))
    assert again.reports() == []


def test_over_the_quota_the_oldest_items_are_removed_and_counted(path: Path) -> None:
    database = SpoolDatabase(path, Quota(size=200_000))
    added = items(1, 500, size=1_000)

    reports = [
        report
        for start in range(0, 500, 50)
        for report in database.commit(Commit(items=added[start : start + 50])).reports
    ]

    (span,) = database.spans()
    assert database.used() <= 200_000
    assert span.last == 500
    assert sum(report.loss.count for report in reports) == 500 - (span.last - span.first + 1)
    assert {report.loss.reason for report in reports} == {Reason.SPACE}
    assert reports[0].loss.first == added[0].time
    assert reports[-1].loss.last == added[span.first - 2].time
    assert database.reports() == reports
    assert len({report.id for report in reports}) == len(reports)


def test_over_the_quota_the_oldest_items_of_all_kinds_are_removed_first(path: Path) -> None:
    database = SpoolDatabase(path, Quota(size=210_000))
    old = tuple(item(number, DOCKER, size=1_000, age=60) for number in range(1, 61))
    database.commit(Commit(items=(*old, item(61, DOCKER, age=1))))

    (report,) = database.commit(Commit(items=items(1, 80, size=1_000))).reports

    performance, docker = database.spans()
    assert performance == Span(PERFORMANCE, 1, 80)
    assert docker == Span(DOCKER, report.loss.count + 1, 61)


def test_over_the_quota_accepted_items_are_removed_first_without_a_loss(path: Path) -> None:
    database = SpoolDatabase(path, Quota(size=200_000))
    mark = Acceptance(Span(PERFORMANCE, 51, 150), sequence=1, accepted_at=1)
    database.commit(Commit(items=items(1, 150, size=1_000), accepted=(mark,)))

    committed = database.commit(Commit(items=items(151, 200, size=1_000)))

    assert committed.reports == ()
    assert read(database, 1, 200) == list(range(1, 51))


QUOTAS = pytest.mark.parametrize(
    "quota", [Quota(size=200_000), Quota(age=3_600)], ids=["space", "age"]
)


@QUOTAS
def test_the_quota_spares_items_that_memory_has(path: Path, quota: Quota) -> None:
    database = SpoolDatabase(path, quota)
    old = tuple(item(number, size=1_000, age=4_000) for number in range(1, 201))
    held = (Span(PERFORMANCE, 1, 20), Span(PERFORMANCE, 31, 31), Span(DOCKER, 1, 200))

    (report,) = database.commit(Commit(items=old, held=held)).reports

    left = [row[0] for row in database._file.execute("SELECT key & 0xffff FROM items")]
    assert report.loss.count == 200 - len(left)
    assert set(left) >= {*range(1, 21), 31}
    assert left[20] > 21


@QUOTAS
def test_items_of_accepted_batches_that_the_quota_takes_are_no_loss(
    path: Path, quota: Quota
) -> None:
    database = SpoolDatabase(path, quota)
    old = tuple(item(number, size=1_000, age=4_000) for number in range(1, 201))
    accepted = (Span(PERFORMANCE, 1, 20), Span(PERFORMANCE, 31, 40), Span(DOCKER, 1, 200))

    (report,) = database.commit(Commit(items=old, in_jetstream=accepted)).reports

    gone = set(range(1, 201)) - set(read(database, 1, 200))
    assert report.loss.count == len(gone - {*range(1, 21), *range(31, 41)})
    assert gone >= {*range(1, 41)}


@pytest.mark.parametrize("column", ["time", "count"])
def test_a_damaged_item_does_not_stop_the_quota(path: Path, column: str) -> None:
    database = SpoolDatabase(path, QUOTA)
    database.commit(Commit(items=items(1, 200, size=1_000)))
    database._file.execute(f"UPDATE items SET {column} = 'text' WHERE key & 0xffff < 20")
    database.close()

    again = SpoolDatabase(path, Quota(size=100_000, age=1e12))
    (report,) = again.commit(Commit()).reports

    assert report.loss.reason is Reason.SPACE
    assert again.used() <= 100_000


def test_items_over_the_age_limit_are_removed_and_counted(path: Path) -> None:
    database = SpoolDatabase(path, Quota(age=3_600))
    old = [item(1, age=4_000), item(2, age=3_700)]
    new = item(3, age=10)

    (report,) = database.commit(Commit(items=(*old, new))).reports

    assert report.loss == Loss(Reason.AGE, PERFORMANCE, 2, old[0].time, old[1].time)
    assert read(database, 1, 3) == [3]


def test_a_loss_by_the_quota_is_stored_in_the_same_transaction(path: Path) -> None:
    database = SpoolDatabase(path, Quota(age=3_600))
    database.commit(Commit(items=(item(1, age=4_000), item(2, DOCKER))))
    database.close()

    # As if the agent was killed as soon as the report was on the disk.
    again = SpoolDatabase(path, QUOTA)
    (report,) = again.reports()
    assert (report.loss.reason, report.loss.count) == (Reason.AGE, 1)
    assert again.spans() == [Span(DOCKER, 2, 2)]
    again.close()


def test_a_failure_to_shrink_the_file_does_not_undo_the_commit(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = SpoolDatabase(path, Quota(age=3_600))

    def fail() -> None:
        raise sqlite3.OperationalError(sqlite_file.FULL)

    monkeypatch.setattr(database, "_shrink", fail)
    old = item(1, age=4_000)

    (report,) = database.commit(Commit(items=(old,))).reports

    assert report.loss == Loss(Reason.AGE, PERFORMANCE, 1, old.time, old.time)


def test_setting_the_clock_does_not_make_items_old(path: Path) -> None:
    database = SpoolDatabase(path, Quota(age=3_600))
    database._clock -= 86_400

    assert database.commit(Commit(items=(item(1, age=4_000),))).reports == ()


def test_a_damaged_loss_report_is_left_out(path: Path) -> None:
    database = SpoolDatabase(path, QUOTA)
    report = LossReport(3, Loss(Reason.AGE, DOCKER, 5, 100, 200))
    database.commit(
        Commit(reports=(report, LossReport(4, report.loss), LossReport(5, report.loss)))
    )
    database._file.execute("UPDATE drops SET reason = 99 WHERE id = 4")
    database._file.execute("UPDATE drops SET kind = 'text' WHERE id = 5")

    assert database.reports() == [report]


def test_the_file_shrinks_when_a_backlog_has_gone(path: Path) -> None:
    database = SpoolDatabase(path, QUOTA)
    database.commit(Commit(items=items(1, 20_000, size=500)))
    full = database.used()
    database.commit(Commit(removed=(Span(PERFORMANCE, 1, 20_000),)))
    for _ in range(10):
        database.commit(Commit())
    database.close()

    assert full > 10_000_000
    assert path.stat().st_size < 3_000_000
    assert not path.with_name("spool.db-wal").exists()


def test_the_log_does_not_grow_with_the_items_that_pass_through(path: Path) -> None:
    database = SpoolDatabase(path, QUOTA)
    for number in range(1, 2_000):
        database.commit(
            Commit(items=(item(number, size=600),), removed=(Span(PERFORMANCE, 1, number - 1),))
        )

    assert path.with_name("spool.db-wal").stat().st_size < 5_000_000
    assert path.stat().st_size < 200_000


def test_with_little_space_left_only_items_are_not_stored(disk: Path) -> None:
    database = SpoolDatabase(disk / "spool.db", QUOTA)
    database.commit(Commit(items=items(1, 100)))
    ballast = disk / "ballast"
    room = os.statvfs(disk)
    ballast.write_bytes(bytes(room.f_bavail * room.f_frsize - 100_000))

    committed = database.commit(Commit(items=items(101, 110), removed=(Span(PERFORMANCE, 1, 50),)))

    assert not committed.items_stored
    assert read(database, 51, 200) == list(range(51, 101))
    ballast.unlink()
    assert database.commit(Commit(items=items(101, 110))).items_stored


def fill_up(database: SpoolDatabase) -> None:
    for start in range(11, 10_000, 100):
        database.commit(Commit(items=items(start, start + 99, size=4_000)))


def test_a_full_disk_is_reported_and_damages_nothing(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_disk, "SPARE_BYTES", 0)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(100_000))
    database = SpoolDatabase(disk / "spool.db", QUOTA)
    database.commit(Commit(items=items(1, 10)))

    with pytest.raises(StorageFullError):
        fill_up(database)

    assert read(database, 1, 10) == list(range(1, 11))
    (span,) = database.spans()
    database.close()
    ballast.unlink()
    again = SpoolDatabase(disk / "spool.db", QUOTA)
    assert again.spans() == [span]


def test_a_disk_without_room_for_the_file_is_no_damage(disk: Path) -> None:
    room = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize))

    with pytest.raises(StorageError):
        open_or_replace(disk / "spool.db", QUOTA)


def damage(path: Path, offset: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(random.randbytes(length))


def filled(path: Path) -> str:
    database = SpoolDatabase(path, QUOTA)
    database.commit(Commit(items=items(1, 2_000, size=500)))
    database.close()
    return database.epoch


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 64), (0, 8_192)], ids=["header torn", "first pages torn"]
)
def test_an_unreadable_file_is_set_aside(path: Path, offset: int, length: int) -> None:
    epoch = filled(path)
    damage(path, offset, length)

    database, losses = open_or_replace(path, QUOTA)

    assert losses
    assert database.epoch != epoch
    assert database.spans() == []
    assert len(list(path.parent.glob("spool.db.damaged-*"))) == 1


def test_the_readable_items_of_a_damaged_file_are_recovered(path: Path) -> None:
    filled(path)
    damage(path, path.stat().st_size // 2 // 4096 * 4096, 4_096)

    database, losses = open_or_replace(path, QUOTA)

    assert losses
    saved = database._file.one("SELECT count(*) FROM items")
    assert 1_900 < saved < 2_000


@pytest.mark.parametrize("full", [False, True], ids=["too little space", "no space"])
def test_recovered_items_without_space_are_counted_as_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    filled(path)
    damage(path, path.stat().st_size // 2 // 4096 * 4096, 4_096)

    def add(database: SpoolDatabase, added: Sequence[Item]) -> None:
        raise sqlite3.OperationalError(sqlite_file.FULL)

    if full:
        monkeypatch.setattr(SpoolDatabase, "_insert", add)
    else:
        monkeypatch.setattr(full_disk, "is_short_of_space", lambda _: True)

    database, losses = open_or_replace(path, QUOTA)

    assert database.spans() == []
    assert {loss.reason for loss in losses} == {Reason.DAMAGED}
    assert 1_900 < sum(loss.count for loss in losses) < 2_000


def test_the_beginning_of_a_truncated_file_is_recovered(path: Path) -> None:
    filled(path)
    os.truncate(path, path.stat().st_size // 2)

    database, losses = open_or_replace(path, QUOTA)

    assert losses
    assert database._file.one("SELECT count(*) FROM items") > 500


def test_a_truncated_log_loses_only_its_last_commit(path: Path) -> None:
    database = SpoolDatabase(path, QUOTA)
    database.commit(Commit(items=items(1, 5)))
    log = path.with_name("spool.db-wal").read_bytes()
    database.commit(Commit(items=items(6, 6)))
    content = path.read_bytes()
    whole = path.with_name("spool.db-wal").read_bytes()
    database.close()
    path.write_bytes(content)
    path.with_name("spool.db-wal").write_bytes(whole[: len(log) + 1_000])

    again, losses = open_or_replace(path, QUOTA)

    assert not losses
    assert read(again, 1, 9) == [1, 2, 3, 4, 5]


def test_only_the_last_damaged_file_is_kept(path: Path) -> None:
    path.with_name("spool.db.damaged-1").write_bytes(b"older")
    path.write_bytes(b"this is not a database at all" * 100)

    open_or_replace(path, QUOTA)

    (kept,) = path.parent.glob("spool.db.damaged-*")
    assert kept.read_bytes().startswith(b"this is not")


def test_a_damaged_file_that_cannot_be_set_aside_is_a_fault_of_the_disk(path: Path) -> None:
    path.write_bytes(b"this is not a database at all" * 100)
    path.with_name("spool.db.damaged-1").mkdir()

    with pytest.raises(StorageError):
        open_or_replace(path, QUOTA)


def test_a_file_of_another_version_is_set_aside(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE something (a)")
    db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(StorageDamagedError):
        SpoolDatabase(path, QUOTA)
    assert open_or_replace(path, QUOTA)[1]
