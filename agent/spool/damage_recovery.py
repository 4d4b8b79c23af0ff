"""Replacing a damaged spool by a new one with its readable items."""

import contextlib
import itertools
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from agent.base.errors import StorageDamagedError, StorageError
from agent.base.sqlite_file import set_aside
from agent.spool.database import ID_MAX, SpoolDatabase, key
from agent.spool.models import Item, Kind, Loss, Quota, Reason

log = logging.getLogger(__name__)

CHUNK = 200  # items
ASCENDING = (
    "SELECT key, time, count, size, content FROM items WHERE key BETWEEN ? AND ? ORDER BY key"
)
DESCENDING = f"{ASCENDING} DESC"


def open_or_replace(path: Path, quota: Quota) -> tuple[SpoolDatabase, list[Loss]]:
    """Open the spool. If it is damaged, replace it. Return the spool and the losses.

    Raises:
        StorageError: The disk is full or does not work.
    """
    try:
        return SpoolDatabase(path, quota), []
    except StorageDamagedError as error:
        aside = _set_aside(path)
        log.error("%s. The file is kept as %s, and a new spool begins.", error, aside.name)  # noqa: TRY400  # no bug here
    database = SpoolDatabase(path, quota)
    copied, losses = _copy_items(aside, database)
    log.warning("%d items were recovered from %s.", copied, aside.name)
    # Other contents of the file are unknown, so report a loss with the time of discovery.
    now = time.time_ns() // 1_000_000
    return database, [*losses, Loss(Reason.DAMAGED, Kind.PERFORMANCE, 0, now, now)]


def _set_aside(path: Path) -> Path:
    """Rename the damaged file to a name with the present time, and delete earlier ones.

    Raises:
        StorageError: The file system does not allow it.
    """
    aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
    try:
        for older in path.parent.glob(f"{path.name}.damaged-*"):
            older.unlink()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
    set_aside(path, aside)
    return aside


def _copy_items(damaged: Path, database: SpoolDatabase) -> tuple[int, list[Loss]]:
    """Return how many readable items were copied, and the loss of those that were not."""
    copied, losses = 0, []
    with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as source:
        # Without this, SQLite refuses to read any part of a truncated file.
        source.execute("PRAGMA writable_schema = ON")
        for kind in Kind:
            readable = _readable(source, kind)
            while chunk := list(itertools.islice(readable, CHUNK)):
                if _save(database, chunk):
                    copied += len(chunk)
                else:
                    losses.append(Loss.of(Reason.DAMAGED, chunk))
    return copied, losses


def _save(database: SpoolDatabase, chunk: list[Item]) -> bool:
    try:
        return database.save(chunk)
    except StorageError:
        return False


def _readable(source: sqlite3.Connection, kind: Kind) -> Iterator[Item]:
    """Yield the items before the first unreadable page, then those after it, newest first."""
    last = -1
    try:
        for item in _items(source, kind, last, ASCENDING):
            yield item
            last = item.id
    except sqlite3.DatabaseError:
        with contextlib.suppress(sqlite3.DatabaseError):
            yield from _items(source, kind, last, DESCENDING)


def _items(source: sqlite3.Connection, kind: Kind, after: int, query: str) -> Iterator[Item]:
    rows = source.execute(query, [key(kind, after + 1), key(kind, ID_MAX)])
    for number, moment, count, size, content in rows:
        # A damaged page can have any content.
        if isinstance(content, bytes) and all(
            isinstance(value, int) for value in (number, moment, count, size)
        ):
            yield Item(kind, number & ID_MAX, moment, count, size, content)
