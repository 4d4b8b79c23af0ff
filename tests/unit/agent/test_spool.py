import os
import random
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agent import spool as module
from agent.errors import SpoolDamagedError, SpoolError, SpoolFullError
from agent.items import Changes, Drop, Item, Kind, Mark, Quota, Reason, Span
from agent.salvage import open_or_replace
from agent.spool import SEQUENCES, Spool
from tests.unit.agent.disk import small_disk

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


def items(first: int, last: int, *, size: int = 100) -> list[Item]:
    return [item(number, size=size) for number in range(first, last + 1)]


def everything(_: Item) -> bool:
    return True


def read(spool: Spool, first: int, last: int, kind: Kind = PERFORMANCE) -> list[int]:
    return [found.id for found in spool.read(Span(kind, first, last), everything)]


def test_what_was_added_is_read_again_after_opening_anew(path: Path) -> None:
    added = [item(1), item(2), item(1, DOCKER)]
    spool = Spool(path, QUOTA)
    spool.commit(Changes(add=added))
    spool.close()

    again = Spool(path, QUOTA)

    assert again.read(Span(PERFORMANCE, 1, 9), everything) == added[:2]
    assert again.read(Span(DOCKER, 1, 9), everything) == added[2:]
    assert again.spans() == [Span(PERFORMANCE, 1, 2), Span(DOCKER, 1, 1)]


def test_the_epoch_is_the_files_and_every_start_counts_on_from_elsewhere(path: Path) -> None:
    first = Spool(path, QUOTA)
    epoch, claims = first.epoch, [first.claim()]
    first.close()

    second = Spool(path, QUOTA)
    claims += [second.claim(), second.claim()]

    assert second.epoch == epoch
    assert claims == [0, SEQUENCES, 2 * SEQUENCES]
    path.unlink()
    assert Spool(path, QUOTA).epoch != epoch


def test_nobody_else_may_read_the_file(path: Path) -> None:
    Spool(path, QUOTA)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_run_ends_where_something_is_missing_or_no_longer_fits(path: Path) -> None:
    spool = Spool(path, QUOTA)
    spool.commit(Changes(add=items(1, 9), remove=[]))
    spool.commit(Changes(remove=[Span(PERFORMANCE, 4, 5)]))

    assert read(spool, 1, 9) == [1, 2, 3]
    assert read(spool, 4, 9) == [6, 7, 8, 9]
    assert [i.id for i in spool.read(Span(PERFORMANCE, 1, 9), lambda i: i.id < 3)] == [1, 2]


def test_what_is_marked_accepted_is_not_read_until_it_is_revived(path: Path) -> None:
    spool = Spool(path, QUOTA)
    mark = Mark(Span(PERFORMANCE, 2, 3), sequence=7, accepted_at=1_000)
    spool.commit(Changes(add=items(1, 4), accept=[mark]))
    assert read(spool, 2, 4) == [4]

    assert spool.revive(before=1_000) == []
    assert spool.revive(before=1_001) == [Span(PERFORMANCE, 2, 3)]

    assert read(spool, 1, 4) == [1, 2, 3, 4]


def test_what_is_marked_accepted_goes_by_its_sequence(path: Path) -> None:
    spool = Spool(path, QUOTA)
    mark = Mark(Span(PERFORMANCE, 2, 3), sequence=7, accepted_at=1_000)
    spool.commit(Changes(add=items(1, 4), accept=[mark]))

    spool.commit(Changes(remove_sequences=[6, 7]))

    assert spool.revive(before=2_000) == []
    assert (read(spool, 1, 4), read(spool, 2, 4)) == ([1], [4])


def test_drops_are_kept_until_they_are_reported(path: Path) -> None:
    drop = Drop(3, Reason.AGE, DOCKER, 5, 100, 200)
    spool = Spool(path, QUOTA)
    spool.commit(Changes(drops={3: drop}))
    spool.close()

    again = Spool(path, QUOTA)

    assert again.drops() == [drop]
    again.commit(Changes(reported=[3]))
    assert again.drops() == []


def test_over_its_quota_the_oldest_go_and_each_is_counted(path: Path) -> None:
    spool = Spool(path, Quota(size=200_000))
    added = items(1, 500, size=1_000)

    drops = [
        drop
        for start in range(0, 500, 50)
        for drop in spool.commit(Changes(add=added[start : start + 50], free_drops=start + 1)).drops
    ]

    (span,) = spool.spans()
    assert spool.used() <= 200_000
    assert span.last == 500
    assert sum(drop.count for drop in drops) == 500 - (span.last - span.first + 1)
    assert {drop.reason for drop in drops} == {Reason.SPACE}
    assert drops[0].first == added[0].time
    assert drops[-1].last == added[span.first - 2].time
    assert spool.drops() == drops


def test_over_its_quota_the_oldest_kind_goes_first(path: Path) -> None:
    spool = Spool(path, Quota(size=150_000))
    old = [item(number, DOCKER, size=1_000, age=60) for number in range(1, 21)]
    spool.commit(Changes(add=old))

    spool.commit(Changes(add=items(1, 80, size=1_000)))

    assert spool.spans() == [Span(PERFORMANCE, 1, 80)]


def test_what_is_accepted_goes_before_what_is_not_and_is_no_loss(path: Path) -> None:
    spool = Spool(path, Quota(size=200_000))
    mark = Mark(Span(PERFORMANCE, 51, 150), sequence=1, accepted_at=1)
    spool.commit(Changes(add=items(1, 150, size=1_000), accept=[mark]))

    committed = spool.commit(Changes(add=items(151, 200, size=1_000)))

    assert committed.drops == []
    assert read(spool, 1, 200) == list(range(1, 51))


def test_what_is_older_than_the_owner_allows_goes_and_is_counted(path: Path) -> None:
    spool = Spool(path, Quota(age=3_600))
    old = [item(1, age=4_000), item(2, age=3_700)]
    new = item(3, age=10)

    drops = spool.commit(Changes(add=[*old, new], free_drops=7)).drops

    assert drops == [Drop(7, Reason.AGE, PERFORMANCE, 2, old[0].time, old[1].time)]
    assert read(spool, 1, 3) == [3]


def test_what_the_quota_took_is_counted_in_the_transaction_that_takes_it(path: Path) -> None:
    spool = Spool(path, Quota(age=3_600))
    spool.commit(Changes(add=[item(1, age=4_000), item(2, DOCKER)]))
    spool.close()

    # As if killed as soon as that is on the disk.
    again = Spool(path, QUOTA)
    assert [(drop.reason, drop.count) for drop in again.drops()] == [(Reason.AGE, 1)]
    assert again.spans() == [Span(DOCKER, 2, 2)]
    again.close()


def test_a_shrinking_that_fails_undoes_nothing_of_what_was_committed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(path, Quota(age=3_600))

    def fail() -> None:
        raise sqlite3.OperationalError(module.FULL)

    monkeypatch.setattr(spool, "_shrink", fail)
    old = item(1, age=4_000)

    drops = spool.commit(Changes(add=[old])).drops

    assert drops == [Drop(1, Reason.AGE, PERFORMANCE, 1, old.time, old.time)]


def test_a_clock_that_was_set_makes_nothing_old(path: Path) -> None:
    spool = Spool(path, Quota(age=3_600))
    spool._clock -= 86_400

    assert spool.commit(Changes(add=[item(1, age=4_000)])).drops == []


def test_the_file_shrinks_when_a_backlog_has_gone(path: Path) -> None:
    spool = Spool(path, QUOTA)
    spool.commit(Changes(add=items(1, 20_000, size=500)))
    full = spool.used()
    spool.commit(Changes(remove=[Span(PERFORMANCE, 1, 20_000)]))
    for _ in range(10):
        spool.commit(Changes())
    spool.close()

    assert full > 10_000_000
    assert path.stat().st_size < 3_000_000
    assert not path.with_name("spool.db-wal").exists()


def test_the_log_does_not_grow_with_what_passes_through(path: Path) -> None:
    spool = Spool(path, QUOTA)
    for number in range(1, 2_000):
        spool.commit(
            Changes(add=[item(number, size=600)], remove=[Span(PERFORMANCE, 1, number - 1)])
        )

    assert path.with_name("spool.db-wal").stat().st_size < 5_000_000
    assert path.stat().st_size < 200_000


def test_with_little_space_left_nothing_is_added_but_the_rest_is_done(disk: Path) -> None:
    spool = Spool(disk / "spool.db", QUOTA)
    spool.commit(Changes(add=items(1, 100)))
    ballast = disk / "ballast"
    room = os.statvfs(disk)
    ballast.write_bytes(bytes(room.f_bavail * room.f_frsize - 100_000))

    committed = spool.commit(Changes(add=items(101, 110), remove=[Span(PERFORMANCE, 1, 50)]))

    assert not committed.added
    assert read(spool, 51, 200) == list(range(51, 101))
    ballast.unlink()
    assert spool.commit(Changes(add=items(101, 110))).added


def fill_up(spool: Spool) -> None:
    for start in range(11, 10_000, 100):
        spool.commit(Changes(add=items(start, start + 99, size=4_000)))


def test_a_full_disk_is_told_and_harms_nothing(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPARE_BYTES", 0)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(100_000))
    spool = Spool(disk / "spool.db", QUOTA)
    spool.commit(Changes(add=items(1, 10)))

    with pytest.raises(SpoolFullError):
        fill_up(spool)

    assert read(spool, 1, 10) == list(range(1, 11))
    (span,) = spool.spans()
    spool.close()
    ballast.unlink()
    again = Spool(disk / "spool.db", QUOTA)
    assert again.spans() == [span]


def test_a_disk_without_room_for_the_file_is_no_damage(disk: Path) -> None:
    room = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize))

    with pytest.raises(SpoolError):
        open_or_replace(disk / "spool.db", QUOTA)


def damage(path: Path, offset: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(random.randbytes(length))


def filled(path: Path) -> str:
    spool = Spool(path, QUOTA)
    spool.commit(Changes(add=items(1, 2_000, size=500)))
    spool.close()
    return spool.epoch


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 64), (0, 8_192)], ids=["header torn", "first pages torn"]
)
def test_a_file_that_is_no_longer_one_is_set_aside(path: Path, offset: int, length: int) -> None:
    epoch = filled(path)
    damage(path, offset, length)

    spool, losses = open_or_replace(path, QUOTA)

    assert losses
    assert spool.epoch != epoch
    assert spool.spans() == []
    assert len(list(path.parent.glob("spool.db.damaged-*"))) == 1


def test_what_a_torn_page_leaves_readable_is_saved(path: Path) -> None:
    filled(path)
    damage(path, path.stat().st_size // 2 // 4096 * 4096, 4_096)

    spool, losses = open_or_replace(path, QUOTA)

    assert losses
    saved = spool._one("SELECT count(*) FROM items")
    assert 1_900 < saved < 2_000


@pytest.mark.parametrize("full", [False, True], ids=["too little space", "no space"])
def test_what_finds_no_space_is_not_saved_but_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    filled(path)
    damage(path, path.stat().st_size // 2 // 4096 * 4096, 4_096)

    def add(spool: Spool, added: Sequence[Item]) -> None:
        raise sqlite3.OperationalError(module.FULL)

    if full:
        monkeypatch.setattr(Spool, "_add", add)
    else:
        monkeypatch.setattr(Spool, "_short_of_space", lambda _: True)

    spool, losses = open_or_replace(path, QUOTA)

    assert spool.spans() == []
    assert {loss.reason for loss in losses} == {Reason.DAMAGED}
    assert 1_900 < sum(loss.count for loss in losses) < 2_000


def test_a_file_cut_short_is_found_and_its_beginning_saved(path: Path) -> None:
    filled(path)
    os.truncate(path, path.stat().st_size // 2)

    spool, losses = open_or_replace(path, QUOTA)

    assert losses
    assert spool._one("SELECT count(*) FROM items") > 500


def test_a_torn_log_costs_only_what_it_held(path: Path) -> None:
    spool = Spool(path, QUOTA)
    spool.commit(Changes(add=items(1, 5)))
    log = path.with_name("spool.db-wal").read_bytes()
    spool.commit(Changes(add=items(6, 6)))
    content = path.read_bytes()
    whole = path.with_name("spool.db-wal").read_bytes()
    spool.close()
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


def test_a_damaged_file_that_cannot_be_set_aside_ends_nothing(path: Path) -> None:
    path.write_bytes(b"this is not a database at all" * 100)
    path.with_name("spool.db.damaged-1").mkdir()

    with pytest.raises(SpoolError):
        open_or_replace(path, QUOTA)


def test_a_file_of_another_version_is_set_aside(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE something (a)")
    db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(SpoolDamagedError):
        Spool(path, QUOTA)
    assert open_or_replace(path, QUOTA)[1]
