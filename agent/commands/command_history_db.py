"""The commands that were executed, in an SQLite file. Use it from one thread at a time.

A command is stored before it begins, so that it is not executed twice after a crash. The commit of
a beginning is synced on request; the commit of a result is not.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from agent.base.errors import StorageDamagedError
from agent.base.sqlite_file import SqliteFile

VERSION = 1
CACHE = 64  # kB
# The server signs fewer commands than this within their lifetime, so a command that was removed
# has expired.
ROW_LIMIT = 20_000
RESULT_BYTES = 8 * 1024 * 1024
PRUNE_ROWS = 500  # removed at a time
# A command that is older than the newest one by more than this is refused, whatever the clock says.
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
    not_before: int  # Unix milliseconds, by the clock of the server


@dataclasses.dataclass(slots=True)
class Marks:
    high_water: int  # the newest `not_before` that was stored
    floor: int  # the newest `not_before` that was removed
    rows: int
    bytes: int  # size of all results


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    digest: bytes
    result: bytes | None


class CommandHistoryDatabase:
    def __init__(self, path: Path, floor: int = 0) -> None:
        """Open or create the file. A new file rejects commands from before or at `floor`.

        Raises:
            StorageDamagedError: The file is damaged, or it has another version.
            StorageError: The disk is full or does not work.
        """
        self._file = SqliteFile(
            path,
            version=VERSION,
            schema=SCHEMA,
            first_row=("INSERT INTO marks VALUES (0, ?, 0, 0)", [floor]),
            pragmas=[f"cache_size = -{CACHE}"],
        )
        with self._file.translate_errors():
            marks = self._file.execute(
                "SELECT high_water, floor, rows, bytes FROM marks"
            ).fetchone()
        if marks is None:
            self._file.close()
            raise StorageDamagedError(f"{path}: the row of `marks` is missing")
        self._marks = Marks(*marks)

    @property
    def oldest(self) -> int:
        """The time from which on the history is complete, as a `not_before` in Unix milliseconds."""
        return max(self._marks.high_water - HORIZON, self._marks.floor + 1)

    def find(self, name: str) -> Known | None:
        with self._file.translate_errors():
            row = self._file.execute(
                "SELECT digest, result FROM commands WHERE id = ?", [name]
            ).fetchone()
        return Known(*row) if row else None

    def begin(self, rows: Sequence[Row], *, synced: bool) -> None:
        """Store commands that are about to begin. With `synced`, they survive a power cut."""
        with self._file.transaction(synced=synced):
            marks = self._add(rows)
        self._marks = marks

    def _add(self, rows: Sequence[Row]) -> Marks:
        marks = dataclasses.replace(self._marks)
        added = self._file.execute_many(
            "INSERT OR IGNORE INTO commands (id, digest, not_before) VALUES (?, ?, ?)",
            (dataclasses.astuple(row) for row in rows),
        )
        marks.rows += added.rowcount
        marks.high_water = max(marks.high_water, *(row.not_before for row in rows))
        if marks.rows > ROW_LIMIT:
            self._prune(marks)
        self._save(marks)
        return marks

    def _prune(self, marks: Marks) -> None:
        old = self._file.execute(
            "SELECT id, not_before, coalesce(length(result), 0) FROM commands"
            " WHERE ended = 1 ORDER BY not_before LIMIT ?",
            [PRUNE_ROWS],
        ).fetchall()
        self._file.execute_many("DELETE FROM commands WHERE id = ?", ((row[0],) for row in old))
        marks.rows -= len(old)
        marks.bytes -= sum(row[2] for row in old)
        marks.floor = max([marks.floor, *(row[1] for row in old)])

    def end(self, name: str, result: bytes) -> None:
        with self._file.transaction():
            marks = dataclasses.replace(self._marks)
            ended = self._file.execute(
                "UPDATE commands SET ended = 1, result = ? WHERE id = ?", [result, name]
            )
            marks.bytes += len(result) * ended.rowcount
            while marks.bytes > RESULT_BYTES:
                marks.bytes -= self._remove_oldest_result()
            self._save(marks)
        self._marks = marks

    def _remove_oldest_result(self) -> int:
        """Return the size of the result."""
        name, size = self._file.execute(
            "SELECT id, length(result) FROM commands WHERE result IS NOT NULL"
            " ORDER BY not_before LIMIT 1"
        ).fetchone()
        self._file.execute("UPDATE commands SET result = NULL WHERE id = ?", [name])
        removed: int = size
        return removed

    def _save(self, marks: Marks) -> None:
        self._file.execute(
            "UPDATE marks SET high_water = ?, floor = ?, rows = ?, bytes = ?",
            dataclasses.astuple(marks),
        )

    def end_unfinished(self, result: bytes) -> list[str]:
        """Store this result for every command that has not ended. Return their ids."""
        with self._file.translate_errors():
            begun = self._file.execute("SELECT id FROM commands WHERE ended = 0").fetchall()
        for (name,) in begun:
            self.end(name, result)
        return [name for (name,) in begun]

    def close(self) -> None:
        self._file.close()
