"""SQLite files that this process alone uses.

Commits are written but not synced (WAL, synchronous=NORMAL). They survive the end of the process;
a power cut can undo the commits since the last checkpoint.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from agent.base import private_files
from agent.base.errors import StorageDamagedError, StorageError, StorageFullError

FULL = "database or disk is full"  # sqlite3 reports error codes only since Python 3.11
LOCK_TIMEOUT = 1.0  # seconds
LOG_ENDINGS = ("-wal", "-journal")  # SQLite finds its logs by the name of the file


class SqliteFile:
    """An open database file. Only one thread may use it at a time."""

    def __init__(
        self,
        path: Path,
        *,
        version: int,
        schema: str,
        first_row: tuple[str, Sequence[object]],
        pragmas: Sequence[str] = (),
    ) -> None:
        """Open and check the file. Create it with `schema` and `first_row` if it does not exist.

        Raises:
            StorageDamagedError: The file is damaged, or it has another version.
            StorageError: The disk is full or does not work.
        """
        self.path = path
        with self.translate_errors():
            # SQLite would create a file that other users can read.
            os.close(private_files.open_file(path, os.O_RDWR | os.O_CREAT))
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=LOCK_TIMEOUT)
            try:
                self._set_pragmas(pragmas)
                if self.one("PRAGMA user_version") or self.one(
                    "SELECT count(*) FROM sqlite_master"
                ):
                    self._check(version)
                else:
                    self._create(version, schema, first_row)
            except BaseException:
                self._connection.close()
                raise

    def _set_pragmas(self, pragmas: Sequence[str]) -> None:
        for pragma in (
            # Without this the index of the log is shared memory in a file, and a full disk
            # turns access to it into a SIGBUS.
            "locking_mode = EXCLUSIVE",
            # Page size and vacuum mode have to be set before the journal mode creates the file.
            *pragmas,
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "temp_store = MEMORY",
        ):
            self.execute(f"PRAGMA {pragma}")

    def _create(self, version: int, schema: str, first_row: tuple[str, Sequence[object]]) -> None:
        with self.transaction():
            for statement in schema.split(";"):
                self.execute(statement)
            self.execute(*first_row)
            self.execute(f"PRAGMA user_version = {version}")

    def _check(self, version: int) -> None:
        found = self.one("PRAGMA user_version")
        if found != version:
            raise sqlite3.DatabaseError(f"the file has version {found}, not {version}")
        result = self.one("PRAGMA quick_check(1)")
        if result != "ok":
            raise sqlite3.DatabaseError(result.splitlines()[-1])

    @contextlib.contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise the errors of SQLite and of the file system as errors of the agent.

        Raises:
            StorageDamagedError: The content of the file is not valid.
            StorageError: The disk is full or does not work, or the file has been closed.
        """
        try:
            yield
        except sqlite3.ProgrammingError as error:
            # The file has been closed. This is a DatabaseError, but the content is not at fault.
            raise StorageError(f"{self.path}: {error}") from None
        except sqlite3.OperationalError as error:
            if str(error) == FULL:
                raise StorageFullError(f"{self.path}: {error}") from None
            raise StorageError(f"{self.path}: {error}") from None
        except sqlite3.DatabaseError as error:
            raise StorageDamagedError(f"{self.path}: {error}") from None
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from None

    @contextlib.contextmanager
    def transaction(self, *, synced: bool = False) -> Iterator[None]:
        """Commit at the end of the block, or roll back. With `synced`, survive a power cut."""
        with self.translate_errors():
            if synced:
                self.execute("PRAGMA synchronous = FULL")
            try:
                with self._commit_or_roll_back():
                    yield
            finally:
                if synced:
                    self.execute("PRAGMA synchronous = NORMAL")

    @contextlib.contextmanager
    def _commit_or_roll_back(self) -> Iterator[None]:
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            # SQLite itself rolls back when the disk is full.
            if self._connection.in_transaction:
                self.execute("ROLLBACK")
            raise

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, parameters)

    def execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> sqlite3.Cursor:
        return self._connection.executemany(statement, rows)

    def execute_all_steps(self, statement: str) -> None:
        """Run a statement that takes one step per page; `execute` would run only the first step."""
        self._connection.executescript(statement)

    def one(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the only value of the only row."""
        return self.execute(statement, parameters).fetchone()[0]

    def close(self) -> None:
        with contextlib.suppress(StorageError, StorageDamagedError), self.translate_errors():
            self._connection.close()


def set_aside(path: Path, aside: Path) -> None:
    """Rename a damaged file and its logs, in place of an earlier one of that name.

    Raises:
        StorageError: The file system does not allow it.
    """
    try:
        for ending in LOG_ENDINGS:
            renamed = aside.with_name(aside.name + ending)
            renamed.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + ending).rename(renamed)
        path.replace(aside)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
