"""The file of what was executed. Used from one thread at a time.

A command is in it before it begins, so that no crash has it executed twice: the commit of a
beginning is synced where asked for, that of a result is not.
"""

import contextlib
import dataclasses
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agent import folder
from agent.errors import LedgerDamagedError, LedgerError

VERSION = 1
CACHE = 64  # kB
# Below the server's rate of signing times the lifetime of a command: what is forgotten has
# expired anyhow.
ROW_LIMIT = 20_000
RESULT_BYTES = 8 * 1024 * 1024
PRUNE_ROWS = 500  # forgotten at a time
# Commands made longer before the newest than this are not begun, whatever the clock says.
HORIZON = 600_000  # ms

SCHEMA = """
CREATE TABLE marks (
    high_water INTEGER NOT NULL, floor INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL
);
CREATE TABLE commands (
    id TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0,
    result BLOB
);
CREATE INDEX commands_not_before_idx ON commands (not_before);
CREATE INDEX commands_result_idx ON commands (not_before) WHERE result IS NOT NULL;
CREATE INDEX commands_begun_idx ON commands (id) WHERE ended = 0;
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    id: str
    digest: bytes
    not_before: int  # Unix ms of the server


@dataclasses.dataclass(slots=True)
class Marks:
    high_water: int  # the newest `not_before` there was
    floor: int  # the newest that was forgotten
    rows: int
    bytes: int  # of results


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    digest: bytes
    result: bytes | None


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
        raise LedgerError(f"{path}: {error}") from None
    except sqlite3.DatabaseError as error:
        raise LedgerDamagedError(f"{path}: {error}") from None
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}") from None


class Ledger:
    def __init__(self, path: Path, floor: int = 0) -> None:
        """Open the file or make it; one that is made takes nothing from up to `floor` on.

        Raises:
            LedgerDamagedError: it is not a whole one of this version.
            LedgerError: the disk is full, or does not answer.
        """
        self._path = path
        with _translated(path):
            # Before SQLite makes it, which would let others read it.
            os.close(folder.take(path, os.O_RDWR | os.O_CREAT))
            self._db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
            try:
                self._prepare(floor)
                self._marks = Marks(
                    *self._db.execute("SELECT high_water, floor, rows, bytes FROM marks").fetchone()
                )
            except BaseException:
                self._db.close()
                raise

    @property
    def oldest(self) -> int:
        """What is older and not known was executed and forgotten, for all that is known here."""
        return max(self._marks.high_water - HORIZON, self._marks.floor + 1)

    def _prepare(self, floor: int) -> None:
        for pragma in (
            # As in the spool: a full disk would turn shared memory into a SIGBUS.
            "locking_mode = EXCLUSIVE",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            f"cache_size = -{CACHE}",
            "temp_store = MEMORY",
        ):
            self._db.execute(f"PRAGMA {pragma}")
        version = self._one("PRAGMA user_version")
        if version == 0 and not self._one("SELECT count(*) FROM sqlite_master"):
            with self._transaction():
                for statement in SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO marks VALUES (0, ?, 0, 0)", [floor])
                self._db.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"version {version} is not {VERSION}")
        elif (answer := self._one("PRAGMA quick_check(1)")) != "ok":
            raise sqlite3.DatabaseError(answer.splitlines()[-1])

    def find(self, name: str) -> Known | None:
        with _translated(self._path):
            row = self._db.execute(
                "SELECT digest, result FROM commands WHERE id = ?", [name]
            ).fetchone()
        return Known(*row) if row else None

    def begin(self, rows: Sequence[Row], *, synced: bool) -> None:
        """Each is on the disk when this returns; what outlives a power cut too where asked for."""
        with _translated(self._path):
            if synced:
                self._db.execute("PRAGMA synchronous = FULL")
            try:
                with self._transaction():
                    marks = self._add(rows)
            finally:
                if synced:
                    self._db.execute("PRAGMA synchronous = NORMAL")
        self._marks = marks

    def _add(self, rows: Sequence[Row]) -> Marks:
        marks = dataclasses.replace(self._marks)
        added = self._db.executemany(
            "INSERT OR IGNORE INTO commands (id, digest, not_before) VALUES (?, ?, ?)",
            (dataclasses.astuple(row) for row in rows),
        )
        marks.rows += added.rowcount
        marks.high_water = max(marks.high_water, *(row.not_before for row in rows))
        if marks.rows > ROW_LIMIT:
            self._prune(marks)
        self._keep(marks)
        return marks

    def _prune(self, marks: Marks) -> None:
        old = self._db.execute(
            "SELECT id, not_before, coalesce(length(result), 0) FROM commands"
            " WHERE ended = 1 ORDER BY not_before LIMIT ?",
            [PRUNE_ROWS],
        ).fetchall()
        self._db.executemany("DELETE FROM commands WHERE id = ?", ((row[0],) for row in old))
        marks.rows -= len(old)
        marks.bytes -= sum(row[2] for row in old)
        marks.floor = max([marks.floor, *(row[1] for row in old)])

    def end(self, name: str, result: bytes) -> None:
        with _translated(self._path), self._transaction():
            marks = dataclasses.replace(self._marks)
            ended = self._db.execute(
                "UPDATE commands SET ended = 1, result = ? WHERE id = ?", [result, name]
            )
            marks.bytes += len(result) * ended.rowcount
            while marks.bytes > RESULT_BYTES:
                marks.bytes -= self._drop_oldest_result()
            self._keep(marks)
        self._marks = marks

    def _drop_oldest_result(self) -> int:
        name, size = self._db.execute(
            "SELECT id, length(result) FROM commands WHERE result IS NOT NULL"
            " ORDER BY not_before LIMIT 1"
        ).fetchone()
        self._db.execute("UPDATE commands SET result = NULL WHERE id = ?", [name])
        dropped: int = size
        return dropped

    def _keep(self, marks: Marks) -> None:
        self._db.execute(
            "UPDATE marks SET high_water = ?, floor = ?, rows = ?, bytes = ?",
            dataclasses.astuple(marks),
        )

    def give_up(self, result: bytes) -> list[str]:
        """End with this result what no process lived to end."""
        with _translated(self._path):
            begun = self._db.execute("SELECT id FROM commands WHERE ended = 0").fetchall()
        for (name,) in begun:
            self.end(name, result)
        return [name for (name,) in begun]

    def close(self) -> None:
        with contextlib.suppress(LedgerError, LedgerDamagedError), _translated(self._path):
            self._db.close()

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

    def _one(self, statement: str) -> Any:
        return self._db.execute(statement).fetchone()[0]
