import contextlib
import itertools
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from agent.errors import SpoolDamagedError, SpoolError
from agent.items import Item, Kind, Loss, Quota, Reason
from agent.spool import NUMBERS, Spool, key

log = logging.getLogger(__name__)

CHUNK = 200  # items
ASCENDING = (
    "SELECT key, time, count, size, content FROM items WHERE key BETWEEN ? AND ? ORDER BY key"
)
DESCENDING = f"{ASCENDING} DESC"


def open_or_replace(path: Path, quota: Quota) -> tuple[Spool, list[Loss]]:
    """The spool, and what was lost where it had to take the place of a damaged one.

    Raises:
        SpoolError: the disk is full, or does not answer.
    """
    try:
        return Spool(path, quota), []
    except SpoolDamagedError as error:
        aside = _set_aside(path)
        log.error("%s; kept as %s, a new spool begins", error, aside.name)  # noqa: TRY400  # no bug here
    spool = Spool(path, quota)
    saved, unsaved = _salvage(aside, spool)
    log.warning("%d items were saved from %s", saved, aside.name)
    # What else was in it is not known, nor how much; only when this was found.
    now = time.time_ns() // 1_000_000
    return spool, [*unsaved, Loss(Reason.DAMAGED, Kind.PERFORMANCE, 0, now, now)]


def _set_aside(path: Path) -> Path:
    """Raises: SpoolError: the disk takes no other name."""
    try:
        return _renamed(path)
    except OSError as error:
        raise SpoolError(f"{path}: {error.strerror}") from None


def _renamed(path: Path) -> Path:
    for older in path.parent.glob(f"{path.name}.damaged-*"):
        older.unlink()
    aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
    for ending in ("-wal", "-journal"):
        # SQLite looks for these by the name of the file they belong to.
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    path.rename(aside)
    return aside


def _salvage(damaged: Path, spool: Spool) -> tuple[int, list[Loss]]:
    """How many were saved, and what could be read but not be put anywhere."""
    saved, unsaved = 0, []
    with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as db:
        # Otherwise a file that was cut short is refused as a whole.
        db.execute("PRAGMA writable_schema = ON")
        for kind in Kind:
            readable = _readable(db, kind)
            while chunk := list(itertools.islice(readable, CHUNK)):
                if _save(spool, chunk):
                    saved += len(chunk)
                else:
                    times = [item.time for item in chunk]
                    count = sum(item.count for item in chunk)
                    unsaved.append(Loss(Reason.DAMAGED, kind, count, min(times), max(times)))
    return saved, unsaved


def _save(spool: Spool, chunk: list[Item]) -> bool:
    try:
        return spool.save(chunk)
    except SpoolError:
        return False


def _readable(db: sqlite3.Connection, kind: Kind) -> Iterator[Item]:
    """From the oldest up to the first page that cannot be read, then from the newest down to it."""
    last = -1
    try:
        for item in _items(db, kind, last, ASCENDING):
            yield item
            last = item.id
    except sqlite3.DatabaseError:
        with contextlib.suppress(sqlite3.DatabaseError):
            yield from _items(db, kind, last, DESCENDING)


def _items(db: sqlite3.Connection, kind: Kind, after: int, query: str) -> Iterator[Item]:
    rows = db.execute(query, [key(kind, after + 1), key(kind, NUMBERS)])
    for number, moment, count, size, content in rows:
        # A torn page may hold anything.
        if isinstance(content, bytes) and all(
            isinstance(value, int) for value in (number, moment, count, size)
        ):
            yield Item(kind, number & NUMBERS, moment, count, size, content)
