"""The spool: a file with the measurements and loss reports that are not durable yet.

A power cut can undo the commits since the last checkpoint. Removals that are undone only send
something twice.
"""

import contextlib
import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agent.base.sqlite_file import SqliteFile
from agent.spool import codec, full_disk
from agent.spool.models import (
    Commit,
    Committed,
    Item,
    Kind,
    Loss,
    LossReport,
    Quota,
    Reason,
    Span,
)

VERSION = 1
PAGE = 4096  # bytes
CACHE = 512  # kB
CHECKPOINT = 500  # pages of the log, after which it is written into the file and synced
# Each start claims another block of 10⁹ numbers for its batches and syncs the claim to the disk. If
# a power cut undoes the last minutes, two batches can still never get the same number.
SEQUENCES = 1_000_000_000
# Reports of losses because of the quota use the upper half of the block, the send queue the lower half.
REPORT_IDS = SEQUENCES // 2
KIND_SHIFT = 48
ID_MAX = (1 << KIND_SHIFT) - 1
IDLE_PAGES = 256  # kept for reuse; more are returned to the file system
SHRINK_PAGES = 2_000  # returned at a time
QUOTA_ROWS = 100  # removed at a time, at most, when over the quota
# Removed in addition, so that the next commits need not remove anything.
QUOTA_STEP_SHARE, QUOTA_STEP_BYTES = 0.02, 65_536
AGED_ROWS = 1_000  # examined in a commit
CLOCK_STEP = 3600.0  # seconds

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


MARK_ACCEPTED = (
    "UPDATE items SET sequence = ?, accepted_at = ? WHERE key BETWEEN ? AND ? AND sequence IS NULL"
)
SAVE_REPORT = "INSERT OR REPLACE INTO drops VALUES (?, ?, ?, ?, ?, ?)"

Keys = tuple[int, int]  # the first and the last


class Row(NamedTuple):
    key: int
    time: int
    amount: int  # snapshots or metrics
    size: int  # bytes of the content
    sequence: int | None


def key(kind: Kind, number: int) -> int:
    """Return the key of an item. Each kind has a range of the keys."""
    return (kind << KIND_SHIFT) + number


def _keys(span: Span) -> Keys:
    return key(span.kind, span.first), key(span.kind, span.last)


def _report_row(report: LossReport) -> tuple[int, ...]:
    loss = report.loss
    return report.id, loss.reason, loss.kind, loss.count, loss.first, loss.last


def _contains(ranges: Iterable[Keys], number: int) -> bool:
    return any(first <= number <= last for first, last in ranges)


def _item(kind: Kind, row: Sequence[Any]) -> Item:
    number, (moment, count, size, content) = row[0] & ID_MAX, row[1:]
    if (
        isinstance(content, bytes)
        and all(isinstance(value, int) for value in (moment, count, size))
        and min(moment, count, size) >= 0
    ):
        return Item(kind, number, moment, count, size, content)
    # A damaged page can have any content. This item is lost because it cannot be unpacked.
    return Item(kind, number, time.time_ns() // 1_000_000, 1, 0, b"")


class SpoolDatabase:
    """The spool file. Only one thread may use it at a time."""

    def __init__(self, path: Path, quota: Quota) -> None:
        """Open the file or create it.

        Raises:
            StorageDamagedError: The file is damaged, or it has another version.
            StorageError: The disk is full or does not work.
        """
        self._quota = quota
        self._clock = time.time() - time.monotonic()
        self._file = SqliteFile(
            path,
            version=VERSION,
            schema=SCHEMA,
            first_row=("INSERT INTO meta VALUES (?, 0)", [os.urandom(8).hex()]),
            pragmas=(
                f"page_size = {PAGE}",
                "auto_vacuum = INCREMENTAL",
                f"wal_autocheckpoint = {CHECKPOINT}",
                f"journal_size_limit = {CHECKPOINT * PAGE * 2}",
                f"cache_size = -{CACHE}",
            ),
        )
        self._report_ids = itertools.count(REPORT_IDS + 1)
        with self._file.translate_errors():
            self.epoch: str = self._file.one("SELECT epoch FROM meta")

    def claim_sequences(self) -> int:
        """Return the number after which the numbers of batches and loss reports begin."""
        with self._file.transaction(synced=True):
            self._file.execute("UPDATE meta SET starts = starts + 1")
            starts: int = self._file.one("SELECT starts FROM meta")
        claimed = (starts - 1) * SEQUENCES
        self._report_ids = itertools.count(claimed + REPORT_IDS + 1)
        return claimed

    def spans(self) -> list[Span]:
        """Return the span from the first to the last item of each kind."""
        with self._file.translate_errors():
            ends = [(kind, self._end(kind, "min"), self._end(kind, "max")) for kind in Kind]
        return [
            Span(kind, first, last)
            for kind, first, last in ends
            if first is not None and last is not None
        ]

    def _end(self, kind: Kind, function: str) -> int | None:
        # A statement with both functions would read the whole range.
        number = self._file.one(
            f"SELECT {function}(key) FROM items WHERE key BETWEEN ? AND ?",  # noqa: S608  # a literal
            _keys(Span(kind, 0, ID_MAX)),
        )
        return None if number is None else number & ID_MAX

    def reports(self) -> list[LossReport]:
        with self._file.translate_errors():
            rows = self._file.execute(
                "SELECT id, reason, kind, count, first, last FROM drops"
                " WHERE reason BETWEEN 1 AND ? AND kind BETWEEN 1 AND ?",
                [max(Reason), max(Kind)],
            )
            return [
                LossReport(row[0], Loss(Reason(row[1]), Kind(row[2]), *row[3:])) for row in rows
            ]

    def read(self, span: Span, admits: Callable[[Item], bool]) -> list[Item]:
        """Return the first consecutive items that were not accepted, while `admits` returns True."""
        run: list[Item] = []
        with self._file.translate_errors():
            rows = self._file.execute(
                "SELECT key, time, count, size, content FROM items"
                " WHERE key BETWEEN ? AND ? AND sequence IS NULL ORDER BY key",
                _keys(span),
            )
            with contextlib.closing(rows):
                for row in rows:
                    item = _item(span.kind, row)
                    if (run and item.id != run[-1].id + 1) or not admits(item):
                        break
                    run.append(item)
        return run

    def commit(self, commit: Commit) -> Committed:
        """Store the changes, and remove items over the quota."""
        stores_items = not (commit.items and full_disk.is_short_of_space(self._file.path.parent))
        with self._file.transaction():
            if stores_items:
                self._insert(commit.items)
            self._change(commit)
            reports = self._apply_quota(commit)
        # The changes are committed. If the disk fails here, the next commit reports it.
        with contextlib.suppress(sqlite3.DatabaseError):
            self._shrink()
        return Committed(stores_items, reports)

    def save(self, items: Sequence[Item]) -> bool:
        """Store items without regard to the quota. Return False if there is too little space."""
        if full_disk.is_short_of_space(self._file.path.parent):
            return False
        with self._file.transaction():
            self._insert(items)
        return True

    def _insert(self, items: Sequence[Item]) -> None:
        self._file.execute_many(
            "INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?, NULL, NULL)",
            ((key(i.kind, i.id), i.time, i.count, i.size, codec.pack(i)) for i in items),
        )

    def _change(self, commit: Commit) -> None:
        changes: tuple[tuple[str, list[tuple[int, ...]]], ...] = (
            (
                MARK_ACCEPTED,
                [(a.sequence, a.accepted_at, *_keys(a.span)) for a in commit.accepted],
            ),
            ("DELETE FROM items WHERE key BETWEEN ? AND ?", [_keys(s) for s in commit.removed]),
            ("DELETE FROM items WHERE sequence = ?", [(s,) for s in commit.removed_sequences]),
            (SAVE_REPORT, [_report_row(report) for report in commit.reports]),
            ("DELETE FROM drops WHERE id = ?", [(number,) for number in commit.settled_reports]),
        )
        for statement, rows in changes:
            if rows:
                self._file.execute_many(statement, rows)

    def revive(self, before: int) -> list[Span]:
        """Forget that items were accepted before this Unix second. Return their spans."""
        with self._file.transaction():
            found = self._file.execute(
                "SELECT key >> ?, min(key), max(key) FROM items"
                " WHERE sequence IS NOT NULL AND accepted_at < ? GROUP BY 1",
                [KIND_SHIFT, before],
            )
            spans = [Span(Kind(k), least & ID_MAX, most & ID_MAX) for k, least, most in found]
            if spans:
                self._file.execute(
                    "UPDATE items SET sequence = NULL, accepted_at = NULL"
                    " WHERE sequence IS NOT NULL AND accepted_at < ?",
                    [before],
                )
        return spans

    def close(self) -> None:
        self._file.close()

    def used(self) -> int:
        """Return the bytes that are in use in the file."""
        pages: int = self._file.one("PRAGMA page_count") - self._file.one("PRAGMA freelist_count")
        return pages * PAGE

    def _apply_quota(self, commit: Commit) -> tuple[LossReport, ...]:
        """Remove the items over the quota. Store and return a report for each reason and kind."""
        held = [_keys(span) for span in commit.held]
        in_jetstream = [_keys(span) for span in commit.in_jetstream]
        losses: dict[tuple[Reason, Kind], Loss] = {}
        for reason, row in (*self._remove_aged(held), *self._remove_over_quota(held)):
            if row.sequence is None and not _contains(in_jetstream, row.key):
                loss = Loss(reason, Kind(row.key >> KIND_SHIFT), row.amount, row.time, row.time)
                earlier = losses.get((reason, loss.kind))
                losses[reason, loss.kind] = earlier.merged(loss) if earlier else loss
        reports = tuple(LossReport(next(self._report_ids), loss) for loss in losses.values())
        if reports:
            self._file.execute_many(SAVE_REPORT, map(_report_row, reports))
        return reports

    def _remove_aged(self, held: Sequence[Keys]) -> Iterator[tuple[Reason, Row]]:
        # After the clock was set, items look older than they are. Their size is limited anyway.
        if abs(time.time() - time.monotonic() - self._clock) > CLOCK_STEP:
            return
        oldest = int((time.time() - self._quota.age) * 1000)
        for kind in Kind:
            if self._begins_before(kind, oldest):
                rows = self._oldest(kind, AGED_ROWS, held)
                yield from self._remove(Reason.AGE, [row for row in rows if row.time < oldest])

    def _begins_before(self, kind: Kind, time: int) -> bool:
        first = self._file.execute(
            "SELECT time < ? FROM items WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
            [time, *_keys(Span(kind, 0, ID_MAX))],
        ).fetchone()
        return first is not None and bool(first[0])

    def _remove_over_quota(self, held: Sequence[Keys]) -> Iterator[tuple[Reason, Row]]:
        step = min(self._quota.size * QUOTA_STEP_SHARE, QUOTA_STEP_BYTES)
        while (excess := self.used() - self._quota.size) > 0:
            # JetStream has these items, so they go first.
            accepted = self._file.execute(
                "DELETE FROM items WHERE key IN (SELECT key FROM items"
                " WHERE sequence IS NOT NULL ORDER BY sequence LIMIT ?)",
                [QUOTA_ROWS],
            )
            if accepted.rowcount:
                continue
            rows = [row for kind in Kind for row in self._oldest(kind, QUOTA_ROWS, held)]
            if not rows:
                return
            rows.sort(key=lambda row: row.time)
            sizes = itertools.accumulate(row.size for row in rows)
            enough = sum(size < excess + step for size in sizes) + 1
            yield from self._remove(Reason.SPACE, rows[: min(enough, QUOTA_ROWS)])

    def _oldest(self, kind: Kind, limit: int, held: Sequence[Keys]) -> list[Row]:
        """Return the first items of a kind that are not held."""
        rows = self._file.execute(
            # A damaged page can have values of another type.
            "SELECT key, CAST(time AS INTEGER), CAST(count AS INTEGER), length(content), sequence"
            " FROM items WHERE key BETWEEN ? AND ? ORDER BY key",
            _keys(Span(kind, 0, ID_MAX)),
        )
        with contextlib.closing(rows):
            free = (Row(*row) for row in rows if not _contains(held, row[0]))
            return list(itertools.islice(free, limit))

    def _remove(self, reason: Reason, rows: list[Row]) -> Iterator[tuple[Reason, Row]]:
        self._file.execute_many("DELETE FROM items WHERE key = ?", ([row.key] for row in rows))
        for row in rows:
            yield reason, row

    def _shrink(self) -> None:
        idle = self._file.one("PRAGMA freelist_count")
        if idle > 2 * IDLE_PAGES:
            pages = min(idle - IDLE_PAGES, SHRINK_PAGES)
            self._file.execute_all_steps(f"PRAGMA incremental_vacuum({pages})")
