import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from agent.errors import SpoolDamagedError
from agent.items import Changes, Item, Kind, Quota
from agent.spool import NUMBERS, Spool, key

log = logging.getLogger(__name__)

CHUNK = 200  # items
ASCENDING = (
    "SELECT key, time, count, size, content FROM items WHERE key BETWEEN ? AND ? ORDER BY key"
)
DESCENDING = f"{ASCENDING} DESC"


def open_or_replace(path: Path, quota: Quota) -> tuple[Spool, bool]:
    """The spool, and whether it had to take the place of a damaged one.

    Raises:
        SpoolError: the disk is full, or does not answer.
    """
    try:
        return Spool(path, quota), False
    except SpoolDamagedError as error:
        aside = _set_aside(path)
        log.error("%s; kept as %s, a new spool begins", error, aside.name)  # noqa: TRY400  # no bug here
    spool = Spool(path, quota)
    saved = _salvage(aside, spool)
    log.warning("%d items were saved from %s", saved, aside.name)
    return spool, True


def _set_aside(path: Path) -> Path:
    for older in path.parent.glob(f"{path.name}.damaged-*"):
        older.unlink()
    aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
    for ending in ("-wal", "-journal"):
        # SQLite looks for these by the name of the file they belong to.
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    path.rename(aside)
    return aside


def _salvage(damaged: Path, spool: Spool) -> int:
    saved = 0
    with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as db:
        # Otherwise a file that was cut short is refused as a whole.
        db.execute("PRAGMA writable_schema = ON")
        for kind in Kind:
            chunk: list[Item] = []
            for item in _readable(db, kind):
                chunk.append(item)
                if len(chunk) == CHUNK:
                    spool.commit(Changes(add=chunk))
                    saved += len(chunk)
                    chunk = []
            spool.commit(Changes(add=chunk))
            saved += len(chunk)
    return saved


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
