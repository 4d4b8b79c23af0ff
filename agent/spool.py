"""The file that keeps what was measured until the server has it for good.

Used from one thread at a time. WAL with synchronous=NORMAL: a commit is a write without a
sync, so it outlives the process but not a power cut, which can take what came after the
last checkpoint. Deletions may come back with it too, which is only a resend.
"""

import contextlib
import dataclasses
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from agent import folder
from agent.errors import SpoolDamagedError, SpoolError, SpoolFullError
from agent.items import Changes, Committed, Drop, Item, Kind, Loss, Quota, Reason, Span

VERSION = 1
PAGE = 4096  # bytes
CACHE = 512  # kB
CHECKPOINT = 500  # pages of the log, after which it is brought into the file and synced
# Each start numbers its batches from a thousand million of its own, claimed with a sync. A
# power cut that takes back the last minutes can then never make two batches of one name.
SEQUENCES = 1_000_000_000
KIND_SHIFT = 48
NUMBERS = (1 << KIND_SHIFT) - 1
IDLE_PAGES = 256  # kept for reuse; more are given back to the file system
SHRINK_PAGES = 2_000  # given back at a time
DROP_ROWS = 100  # dropped at a time when over the quota
AGED_ROWS = 1_000  # looked at in a commit
CLOCK_STEP = 3600.0  # seconds
FULL = "database or disk is full"  # error codes came with Python 3.11
# Left to the host: whichever is less.
SPARE_SHARE, SPARE_BYTES = 0.05, 100_000_000

SCHEMA = """
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
"""


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.ProgrammingError as error:
        # Closed since: a DatabaseError by birth, but the file is not at fault.
        raise SpoolError(f"{path}: {error}") from None
    except sqlite3.OperationalError as error:
        if str(error) == FULL:
            raise SpoolFullError(f"{path}: {error}") from None
        raise SpoolError(f"{path}: {error}") from None
    except sqlite3.DatabaseError as error:
        raise SpoolDamagedError(f"{path}: {error}") from None
    except OSError as error:
        raise SpoolError(f"{path}: {error.strerror}") from None


def key(kind: Kind, number: int) -> int:
    """Each kind has a range of the table for itself."""
    return (kind << KIND_SHIFT) + number


def _keys(span: Span) -> tuple[int, int]:
    return key(span.kind, span.first), key(span.kind, span.last)


def _item(kind: Kind, row: Sequence[Any]) -> Item:
    number, (moment, count, size, content) = row[0] & NUMBERS, row[1:]
    if (
        isinstance(content, bytes)
        and all(isinstance(value, int) for value in (moment, count, size))
        and min(moment, count, size) >= 0
    ):
        return Item(kind, number, moment, count, size, content)
    # A damaged page may hold anything. What cannot be unpacked is counted as lost.
    return Item(kind, number, time.time_ns() // 1_000_000, 1, 0, b"")


def _gathered(losses: Iterable[Loss], first_id: int) -> list[Drop]:
    """One for each reason and kind."""
    drops: dict[tuple[Reason, Kind], Drop] = {}
    for loss in losses:
        if drop := drops.get((loss.reason, loss.kind)):
            drop.grow(loss.count, loss.first, loss.last)
        else:
            drop = Drop(first_id + len(drops), *dataclasses.astuple(loss))
            drops[loss.reason, loss.kind] = drop
    return list(drops.values())


class Spool:
    def __init__(self, path: Path, quota: Quota) -> None:
        """Open the file or make it.

        Raises:
            SpoolDamagedError: it is not a whole one of this version.
            SpoolError: the disk is full, or does not answer.
        """
        self._path = path
        self._quota = quota
        self._clock = time.time() - time.monotonic()
        with _translated(path):
            # Before SQLite makes it, which would let others read it.
            os.close(folder.take(path, os.O_RDWR | os.O_CREAT))
            self._db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
            try:
                self._prepare()
                self.epoch: str = self._one("SELECT epoch FROM meta")
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        for pragma in (
            # Without this the log's index is memory shared through a file, which a full
            # disk turns into a SIGBUS. No second process has business here.
            "locking_mode = EXCLUSIVE",
            f"page_size = {PAGE}",
            "auto_vacuum = INCREMENTAL",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            f"wal_autocheckpoint = {CHECKPOINT}",
            f"journal_size_limit = {CHECKPOINT * PAGE * 2}",
            f"cache_size = -{CACHE}",
            "temp_store = MEMORY",
        ):
            self._db.execute(f"PRAGMA {pragma}")
        version = self._one("PRAGMA user_version")
        if version == 0 and not self._one("SELECT count(*) FROM sqlite_master"):
            with self._transaction():
                for statement in SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO meta VALUES (?, 0)", [os.urandom(8).hex()])
                self._db.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"version {version} is not {VERSION}")
        elif (answer := self._one("PRAGMA quick_check(1)")) != "ok":
            raise sqlite3.DatabaseError(answer.splitlines()[-1])

    def claim(self) -> int:
        """What this start counts its batches on from; on the disk when it returns."""
        with _translated(self._path):
            self._db.execute("PRAGMA synchronous = FULL")
            try:
                self._db.execute("UPDATE meta SET starts = starts + 1")
            finally:
                self._db.execute("PRAGMA synchronous = NORMAL")
            starts: int = self._one("SELECT starts FROM meta")
        return (starts - 1) * SEQUENCES

    def spans(self) -> list[Span]:
        """From the first to the last of each kind."""
        with _translated(self._path):
            ends = [(kind, *self._ends(kind, 0, NUMBERS)) for kind in Kind]
        return [Span(kind, first, last) for kind, first, last in ends if first is not None]

    def _ends(self, kind: Kind, first: int, last: int) -> tuple[int, int] | tuple[None, None]:
        keys = _keys(Span(kind, first, last))
        # Apart, each is a look at one end of the table; together they would be a walk.
        least = self._one("SELECT min(key) FROM items WHERE key BETWEEN ? AND ?", keys)
        most = self._one("SELECT max(key) FROM items WHERE key BETWEEN ? AND ?", keys)
        return (None, None) if least is None else (least & NUMBERS, most & NUMBERS)

    def drops(self) -> list[Drop]:
        with _translated(self._path):
            rows = self._db.execute("SELECT id, reason, kind, count, first, last FROM drops")
            return [Drop(row[0], Reason(row[1]), Kind(row[2]), *row[3:]) for row in rows]

    def read(self, span: Span, fits: Callable[[Item], bool]) -> list[Item]:
        """The first unbroken run in the span of what was not accepted, for as long as it fits."""
        run: list[Item] = []
        with _translated(self._path):
            rows = self._db.execute(
                "SELECT key, time, count, size, content FROM items"
                " WHERE key BETWEEN ? AND ? AND sequence IS NULL ORDER BY key",
                _keys(span),
            )
            with contextlib.closing(rows):
                for row in rows:
                    item = _item(span.kind, row)
                    if (run and item.id != run[-1].id + 1) or not fits(item):
                        break
                    run.append(item)
        return run

    def commit(self, changes: Changes) -> Committed:
        adding = not (changes.add and self._short_of_space())
        with _translated(self._path):
            with self._transaction():
                if adding:
                    self._add(changes.add)
                self._change(changes)
                drops = _gathered([*self._aged(), *self._over_quota()], changes.free_drops)
                self._keep_drops(drops)
            # It is committed: what is wrong with the disk now, the next one meets.
            with contextlib.suppress(sqlite3.DatabaseError):
                self._shrink()
        return Committed(adding, drops)

    def save(self, items: Sequence[Item]) -> bool:
        """Whether there was space; without regard to the quota, which the next commit keeps."""
        if self._short_of_space():
            return False
        with _translated(self._path), self._transaction():
            self._add(items)
        return True

    def _add(self, items: Sequence[Item]) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?, NULL, NULL)",
            ((key(i.kind, i.id), i.time, i.count, i.size, i.content) for i in items),
        )

    def _change(self, changes: Changes) -> None:
        self._db.executemany(
            "UPDATE items SET sequence = ?, accepted_at = ?"
            " WHERE key BETWEEN ? AND ? AND sequence IS NULL",
            ((m.sequence, m.accepted_at, *_keys(m.span)) for m in changes.accept),
        )
        self._db.executemany(
            "DELETE FROM items WHERE key BETWEEN ? AND ?", map(_keys, changes.remove)
        )
        self._db.executemany(
            "DELETE FROM items WHERE sequence = ?", ((s,) for s in changes.remove_sequences)
        )
        self._keep_drops(changes.drops.values())
        self._db.executemany("DELETE FROM drops WHERE id = ?", ((d,) for d in changes.reported))

    def _keep_drops(self, drops: Iterable[Drop]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO drops VALUES (?, ?, ?, ?, ?, ?)",
            map(dataclasses.astuple, drops),
        )

    def revive(self, before: int) -> list[Span]:
        """Make what was accepted before this Unix second as if it were not."""
        with _translated(self._path), self._transaction():
            found = self._db.execute(
                "SELECT key >> ?, min(key), max(key) FROM items"
                " WHERE sequence IS NOT NULL AND accepted_at < ? GROUP BY 1",
                [KIND_SHIFT, before],
            )
            spans = [Span(Kind(k), least & NUMBERS, most & NUMBERS) for k, least, most in found]
            if spans:
                self._db.execute(
                    "UPDATE items SET sequence = NULL, accepted_at = NULL"
                    " WHERE sequence IS NOT NULL AND accepted_at < ?",
                    [before],
                )
        return spans

    def close(self) -> None:
        with contextlib.suppress(SpoolError, SpoolDamagedError), _translated(self._path):
            self._db.close()

    def used(self) -> int:
        """Bytes in use within the file."""
        pages: int = self._one("PRAGMA page_count") - self._one("PRAGMA freelist_count")
        return pages * PAGE

    def _aged(self) -> Iterator[Loss]:
        # A clock that was set makes rows look old that are not; the bytes are bounded anyhow.
        if abs(time.time() - time.monotonic() - self._clock) > CLOCK_STEP:
            return
        oldest = int((time.time() - self._quota.age) * 1000)
        for kind in Kind:
            if self._first(kind, 1, oldest):
                rows = self._first(kind, AGED_ROWS, oldest)
                yield from self._delete(Reason.AGE, kind, rows)

    def _over_quota(self) -> Iterator[Loss]:
        while self.used() > self._quota.size:
            # JetStream has these: that they go is no loss.
            safe = self._db.execute(
                "DELETE FROM items WHERE key IN (SELECT key FROM items"
                " WHERE sequence IS NOT NULL ORDER BY sequence LIMIT ?)",
                [DROP_ROWS],
            )
            if safe.rowcount:
                continue
            fronts = {kind: rows for kind in Kind if (rows := self._first(kind, DROP_ROWS))}
            if not fronts:
                return
            kind = min(fronts, key=lambda kind: fronts[kind][0][1])
            yield from self._delete(Reason.SPACE, kind, fronts[kind])

    def _first(
        self, kind: Kind, limit: int, before: int = 1 << 62
    ) -> list[tuple[int, int, int, int | None]]:
        return self._db.execute(
            "SELECT key, time, count, sequence FROM (SELECT key, time, count, sequence"
            " FROM items WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?) WHERE time < ?",
            [*_keys(Span(kind, 0, NUMBERS)), limit, before],
        ).fetchall()

    def _delete(
        self, reason: Reason, kind: Kind, rows: list[tuple[int, int, int, int | None]]
    ) -> Iterator[Loss]:
        self._db.executemany("DELETE FROM items WHERE key = ?", ((row[0],) for row in rows))
        lost = [row for row in rows if row[3] is None]
        if lost:
            times = [row[1] for row in lost]
            yield Loss(reason, kind, sum(row[2] for row in lost), min(times), max(times))

    def _shrink(self) -> None:
        idle = self._one("PRAGMA freelist_count")
        if idle > 2 * IDLE_PAGES:
            # It is a step for each page, and execute() takes but one.
            self._db.executescript(
                f"PRAGMA incremental_vacuum({min(idle - IDLE_PAGES, SHRINK_PAGES)})"
            )

    def _short_of_space(self) -> bool:
        try:
            disk = os.statvfs(self._path.parent)
        except OSError:
            return True
        spare = min(disk.f_blocks * disk.f_frsize * SPARE_SHARE, SPARE_BYTES)
        return disk.f_bavail * disk.f_frsize < spare

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # A full disk has rolled back already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _one(self, statement: str, parameters: Sequence[int] = ()) -> Any:
        return self._db.execute(statement, parameters).fetchone()[0]
