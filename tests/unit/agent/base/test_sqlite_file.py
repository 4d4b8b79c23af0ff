import random
import sqlite3
import stat
from pathlib import Path

import pytest

from agent.base.errors import StorageDamagedError, StorageError, StorageFullError
from agent.base.sqlite_file import FULL, SqliteFile, set_aside


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"


def open_notes(path: Path, version: int = 1) -> SqliteFile:
    return SqliteFile(
        path,
        version=version,
        schema="CREATE TABLE notes (text TEXT NOT NULL);",
        first_row=("INSERT INTO notes VALUES (?)", ["first"]),
    )


def notes(file: SqliteFile) -> list[str]:
    return [text for (text,) in file.execute("SELECT text FROM notes")]


def test_a_new_file_has_its_schema_and_first_row_and_is_private(path: Path) -> None:
    file = open_notes(path)

    assert notes(file) == ["first"]
    assert file.one("PRAGMA user_version") == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_committed_rows_are_there_after_the_file_is_opened_again(path: Path) -> None:
    file = open_notes(path)
    with file.transaction():
        file.execute_many("INSERT INTO notes VALUES (?)", [["second"], ["third"]])
    file.close()

    assert notes(open_notes(path)) == ["first", "second", "third"]


def test_a_transaction_that_fails_changes_nothing(path: Path) -> None:
    file = open_notes(path)

    def fail() -> None:
        with file.transaction():
            file.execute("DELETE FROM notes")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert notes(file) == ["first"]


def test_only_a_synced_transaction_syncs(path: Path) -> None:
    file = open_notes(path)

    with file.transaction(synced=True):
        assert file.one("PRAGMA synchronous") == 2
    with file.transaction():
        assert file.one("PRAGMA synchronous") == 1


def test_a_file_of_another_version_counts_as_damaged(path: Path) -> None:
    open_notes(path).close()

    with pytest.raises(StorageDamagedError, match="version 1, not 2"):
        open_notes(path, version=2)


def test_a_torn_file_counts_as_damaged(path: Path) -> None:
    path.write_bytes(random.randbytes(8_192))

    with pytest.raises(StorageDamagedError, match=str(path)):
        open_notes(path)


def test_a_file_in_a_missing_folder_is_a_fault_of_the_disk(path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        open_notes(path / "below")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (sqlite3.OperationalError(FULL), StorageFullError),
        (sqlite3.OperationalError("disk I/O error"), StorageError),
        (sqlite3.DatabaseError("database disk image is malformed"), StorageDamagedError),
        (OSError(28, "No space left on device"), StorageError),
    ],
)
def test_errors_name_the_file_and_tell_a_fault_of_the_disk_from_damage(
    path: Path, error: Exception, raised: type[Exception]
) -> None:
    file = open_notes(path)

    with pytest.raises(raised, match=str(path)) as caught, file.transaction():
        raise error

    assert type(caught.value) is raised


def test_a_closed_file_is_no_damage(path: Path) -> None:
    file = open_notes(path)
    file.close()
    file.close()

    with pytest.raises(StorageError), file.transaction():
        pass


def test_a_file_is_set_aside_with_its_log_and_replaces_an_older_one(path: Path) -> None:
    aside = path.with_name("notes.db.damaged")
    path.write_bytes(b"new")
    path.with_name("notes.db-wal").write_bytes(b"new log")
    aside.write_bytes(b"old")
    aside.with_name("notes.db.damaged-journal").write_bytes(b"old log")

    set_aside(path, aside)

    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == {
        "notes.db.damaged": b"new",
        "notes.db.damaged-wal": b"new log",
    }


def test_a_file_that_cannot_be_set_aside_is_a_fault_of_the_disk(path: Path) -> None:
    path.write_bytes(b"damaged")
    path.with_name("notes.db.damaged").mkdir()

    with pytest.raises(StorageError, match="Is a directory"):
        set_aside(path, path.with_name("notes.db.damaged"))
