import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.base.errors import StorageError
from agent.commands import command_history, command_history_db
from agent.commands.command_history import CommandHistory
from agent.commands.command_history_db import CommandHistoryDatabase, Row
from agent.commands.errors import CommandFailedError
from flotilla.v1.command_pb2 import CommandResponse
from tests.fixtures.waiting import soon

NOW = 1_800_000_000_000


def row(name: str, moment: int = NOW) -> Row:
    return Row(name, name.encode() * 4, moment)


def response(text: str) -> CommandResponse:
    return CommandResponse(status=CommandResponse.STATUS_FINISHED, stdout=text.encode())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "executed.db"


@pytest.fixture
async def history(path: Path) -> AsyncIterator[CommandHistory]:
    history = CommandHistory(path, lambda: NOW)
    yield history
    await history.close()


async def done(history: CommandHistory, name: str, moment: int = NOW, text: str = "x") -> None:
    assert await history.find(row(name, moment)) is None
    await history.begin(row(name, moment), persistent=True)
    await history.end(row(name, moment), response(text))


async def test_results_are_found_by_the_next_process(path: Path, history: CommandHistory) -> None:
    await done(history, "a", text="hello")
    await history.close()

    later = CommandHistory(path, lambda: NOW)
    assert await later.find(row("a")) == response("hello")
    await later.close()


async def test_a_command_that_a_killed_agent_had_begun_counts_as_executed(
    path: Path, history: CommandHistory
) -> None:
    await history.begin(row("a"), persistent=True)
    # The process was killed: its memory is lost, and its file was not closed.
    copy = path.with_name("copy.db")
    for ending in ("", "-wal"):
        copy.with_name(copy.name + ending).write_bytes(
            path.with_name(path.name + ending).read_bytes()
        )

    later = CommandHistory(copy, lambda: NOW)
    assert await later.end_unfinished() == ["a"]
    found = await later.find(row("a"))
    assert found
    assert found.status == CommandResponse.STATUS_FAILED
    assert "not known how far the command came" in found.reason
    assert await later.end_unfinished() == []
    await later.close()


async def test_only_its_owner_can_read_the_file(path: Path, history: CommandHistory) -> None:
    await done(history, "a")

    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


async def test_old_results_are_removed_before_their_ids(
    path: Path, history: CommandHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_history_db, "RESULT_BYTES", 1000)
    for number in range(10):
        await done(history, f"c{number}", NOW + number, text=os.urandom(200).hex())

    first, last = await history.find(row("c0")), await history.find(row("c9", NOW + 9))
    assert first
    assert "no longer stores its result" in first.reason
    assert last
    assert last.status == CommandResponse.STATUS_FINISHED
    await history.close()
    with sqlite3.connect(path) as db:
        (size,) = db.execute("SELECT sum(length(result)) FROM commands").fetchone()
    db.close()
    assert size <= 1000


async def test_the_number_of_rows_is_bounded(
    path: Path, history: CommandHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_history_db, "ROW_LIMIT", 50)
    monkeypatch.setattr(command_history_db, "PRUNE_ROWS", 10)
    for number in range(120):
        await done(history, f"c{number}", NOW + number)
    await history.close()

    with sqlite3.connect(path) as db:
        (count,) = db.execute("SELECT count(*) FROM commands").fetchone()
        marks = db.execute("SELECT high_water, rows FROM marks").fetchone()
    db.close()
    assert 40 <= count <= 50
    assert marks == (NOW + 119, count)


async def test_a_running_command_is_not_pruned(
    history: CommandHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_history_db, "ROW_LIMIT", 10)
    monkeypatch.setattr(command_history_db, "PRUNE_ROWS", 5)
    await history.begin(row("long"), persistent=True)
    for number in range(1, 30):
        await done(history, f"c{number}", NOW + number)

    await history.end(row("long"), response("at last"))

    assert await history.find(row("long")) == response("at last")


async def test_a_command_that_only_reads_is_remembered_in_memory(
    path: Path, history: CommandHistory
) -> None:
    await history.begin(row("read"), persistent=False)
    await history.end(row("read"), response("seen"))

    assert await history.find(row("read")) == response("seen")
    await history.close()
    later = CommandHistory(path, lambda: NOW)
    assert await later.find(row("read")) is None
    await later.close()


async def test_the_memory_of_reading_commands_is_bounded(
    history: CommandHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_history, "RECENT_LIMIT", 10)
    monkeypatch.setattr(command_history, "RECENT_BYTES", 1000)
    for number in range(50):
        await history.begin(row(f"l{number}"), persistent=False)
        await history.end(row(f"l{number}"), response("x" * 300))

    assert len(history._recent) == 10
    assert await history.find(row("l49")) == response("x" * 300)
    assert history._recent_bytes == sum(kept.size for kept in history._recent.values()) <= 1000


async def test_commands_are_remembered_in_memory_while_the_disk_is_full(
    path: Path, history: CommandHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await done(history, "before")

    def full(*_: object, **__: object) -> None:
        raise StorageError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(CommandHistoryDatabase, "begin", full)
        await done(history, "meanwhile", text="kept in memory")
        assert await history.find(row("meanwhile")) == response("kept in memory")
    # It is stored together with the next command that the disk accepts.
    await done(history, "after")
    await history.close()

    later = CommandHistory(path, lambda: NOW)
    assert await later.find(row("meanwhile"))
    await later.close()


async def test_older_commands_are_refused_while_the_file_cannot_be_read(
    tmp_path: Path,
) -> None:
    history = CommandHistory(tmp_path / "none" / "executed.db", lambda: NOW)

    with pytest.raises(CommandFailedError, match="older than those that the agent still remembers"):
        await history.find(row("a", NOW - 1))
    await done(history, "b", NOW + 1)
    assert await history.find(row("b", NOW + 1)) == response("x")
    await history.close()


@pytest.mark.parametrize("content", [b"no database at all, but text", os.urandom(8192)])
async def test_a_damaged_file_is_replaced_and_older_commands_are_refused(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)  # noqa: ASYNC240  # a temporary one
    history = CommandHistory(path, lambda: NOW)

    with pytest.raises(CommandFailedError, match="older than those that the agent still remembers"):
        await history.find(row("a"))
    await done(history, "b", NOW + 1)
    await history.close()

    assert path.with_name("executed.db.damaged").read_bytes() == content


async def test_concurrent_commands_are_all_recorded(history: CommandHistory) -> None:
    await soon(asyncio.gather(*(done(history, f"c{number}") for number in range(50))))

    for number in range(50):
        assert await history.find(row(f"c{number}")) == response("x")


async def test_an_unreadable_result_counts_as_removed(path: Path, history: CommandHistory) -> None:
    await done(history, "a")
    await history.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE commands SET result = x'00'")

    found = await history.find(row("a"))

    assert found is not None
    assert found.reason == command_history.RESULT_REMOVED


async def test_a_damaged_file_that_cannot_be_renamed_leaves_the_memory(
    path: Path, history: CommandHistory
) -> None:
    path.write_bytes(b"this is not a database at all" * 100)  # noqa: ASYNC240  # a temporary one
    path.with_name("executed.db.damaged").mkdir()

    await history.begin(row("a"), persistent=True)
    await history.end(row("a"), response("x"))

    assert await history.find(row("a")) == response("x")
