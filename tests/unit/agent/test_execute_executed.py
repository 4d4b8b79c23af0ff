import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.errors import LedgerError
from agent.execute import executed, ledger
from agent.execute.executed import Executed
from agent.execute.failure import CommandFailedError
from agent.execute.ledger import Ledger, Row
from flotilla.v1.command_pb2 import CommandResponse
from tests.unit.agent.edge import soon

NOW = 1_800_000_000_000


def row(name: str, moment: int = NOW) -> Row:
    return Row(name, name.encode() * 4, moment)


def response(text: str) -> CommandResponse:
    return CommandResponse(status=CommandResponse.STATUS_FINISHED, stdout=text.encode())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "executed.db"


@pytest.fixture
async def memory(path: Path) -> AsyncIterator[Executed]:
    memory = Executed(path, lambda: NOW)
    yield memory
    await memory.close()


async def done(memory: Executed, name: str, moment: int = NOW, text: str = "x") -> None:
    assert await memory.find(row(name, moment)) is None
    await memory.begin(row(name, moment), lasting=True)
    await memory.end(row(name, moment), response(text))


async def test_results_are_found_by_the_process_after(path: Path, memory: Executed) -> None:
    await done(memory, "a", text="hello")
    await memory.close()

    later = Executed(path, lambda: NOW)
    assert await later.find(row("a")) == response("hello")
    await later.close()


async def test_what_a_killed_agent_had_begun_counts_as_executed(
    path: Path, memory: Executed
) -> None:
    await memory.begin(row("a"), lasting=True)
    # Its memory is gone, its file is as it was: nothing was closed.
    copy = path.with_name("copy.db")
    for ending in ("", "-wal"):
        copy.with_name(copy.name + ending).write_bytes(
            path.with_name(path.name + ending).read_bytes()
        )

    later = Executed(copy, lambda: NOW)
    assert await later.left() == ["a"]
    found = await later.find(row("a"))
    assert found
    assert found.status == CommandResponse.STATUS_FAILED
    assert "how far it came is not known" in found.reason
    assert await later.left() == []
    await later.close()


async def test_the_file_is_readable_by_its_owner_alone(path: Path, memory: Executed) -> None:
    await done(memory, "a")

    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


async def test_results_are_kept_up_to_a_size_and_ids_beyond(
    path: Path, memory: Executed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "RESULT_BYTES", 1000)
    for number in range(10):
        await done(memory, f"c{number}", NOW + number, text=os.urandom(200).hex())

    first, last = await memory.find(row("c0")), await memory.find(row("c9", NOW + 9))
    assert first
    assert "its result is not kept any more" in first.reason
    assert last
    assert last.status == CommandResponse.STATUS_FINISHED
    await memory.close()
    with sqlite3.connect(path) as db:
        (size,) = db.execute("SELECT sum(length(result)) FROM commands").fetchone()
    db.close()
    assert size <= 1000


async def test_rows_are_kept_up_to_a_number(
    path: Path, memory: Executed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "ROW_LIMIT", 50)
    monkeypatch.setattr(ledger, "PRUNE_ROWS", 10)
    for number in range(120):
        await done(memory, f"c{number}", NOW + number)
    await memory.close()

    with sqlite3.connect(path) as db:
        (count,) = db.execute("SELECT count(*) FROM commands").fetchone()
        marks = db.execute("SELECT high_water, rows FROM marks").fetchone()
    db.close()
    assert 40 <= count <= 50
    assert marks == (NOW + 119, count)


async def test_what_still_runs_is_not_forgotten(
    memory: Executed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "ROW_LIMIT", 10)
    monkeypatch.setattr(ledger, "PRUNE_ROWS", 5)
    await memory.begin(row("long"), lasting=True)
    for number in range(1, 30):
        await done(memory, f"c{number}", NOW + number)

    await memory.end(row("long"), response("at last"))

    assert await memory.find(row("long")) == response("at last")


async def test_what_only_looks_is_remembered_in_memory(path: Path, memory: Executed) -> None:
    await memory.begin(row("look"), lasting=False)
    await memory.end(row("look"), response("seen"))

    assert await memory.find(row("look")) == response("seen")
    await memory.close()
    later = Executed(path, lambda: NOW)
    assert await later.find(row("look")) is None
    await later.close()


async def test_memory_of_looks_is_bounded(
    memory: Executed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executed, "RECENT_LIMIT", 10)
    monkeypatch.setattr(executed, "RECENT_BYTES", 1000)
    for number in range(50):
        await memory.begin(row(f"l{number}"), lasting=False)
        await memory.end(row(f"l{number}"), response("x" * 300))

    assert len(memory._recent) == 10
    assert await memory.find(row("l49")) == response("x" * 300)
    assert memory._recent_bytes == sum(kept.size for kept in memory._recent.values()) <= 1000


async def test_a_disk_that_takes_nothing_does_not_lock_the_owner_out(
    path: Path, memory: Executed, monkeypatch: pytest.MonkeyPatch
) -> None:
    await done(memory, "before")

    def full(*_: object, **__: object) -> None:
        raise LedgerError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "begin", full)
        await done(memory, "meanwhile", text="kept in memory")
        assert await memory.find(row("meanwhile")) == response("kept in memory")
    # With the next that the disk takes, it is written down too.
    await done(memory, "after")
    await memory.close()

    later = Executed(path, lambda: NOW)
    assert await later.find(row("meanwhile"))
    await later.close()


async def test_where_the_disk_gives_nothing_from_the_start_older_commands_are_refused(
    tmp_path: Path,
) -> None:
    memory = Executed(tmp_path / "none" / "executed.db", lambda: NOW)

    with pytest.raises(CommandFailedError, match="older than what the agent remembers"):
        await memory.find(row("a", NOW - 1))
    await done(memory, "b", NOW + 1)
    assert await memory.find(row("b", NOW + 1)) == response("x")
    await memory.close()


@pytest.mark.parametrize("content", [b"no database at all, but text", os.urandom(8192)])
async def test_a_damaged_file_is_replaced_and_what_may_have_been_in_it_refused(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)  # noqa: ASYNC240  # a temporary one
    memory = Executed(path, lambda: NOW)

    with pytest.raises(CommandFailedError, match="older than what the agent remembers"):
        await memory.find(row("a"))
    await done(memory, "b", NOW + 1)
    await memory.close()

    assert path.with_name("executed.db.damaged").read_bytes() == content


async def test_many_at_once_are_each_written(memory: Executed) -> None:
    await soon(asyncio.gather(*(done(memory, f"c{number}") for number in range(50))))

    for number in range(50):
        assert await memory.find(row(f"c{number}")) == response("x")


async def test_a_result_that_cannot_be_read_any_more_counts_as_forgotten(
    path: Path, memory: Executed
) -> None:
    await done(memory, "a")
    await memory.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE commands SET result = x'00'")

    found = await memory.find(row("a"))

    assert found is not None
    assert found.reason == executed.FORGOTTEN


async def test_a_damaged_file_that_cannot_be_set_aside_leaves_memory(
    path: Path, memory: Executed
) -> None:
    path.write_bytes(b"this is not a database at all" * 100)  # noqa: ASYNC240  # a temporary one
    path.with_name("executed.db.damaged").mkdir()

    await memory.begin(row("a"), lasting=True)
    await memory.end(row("a"), response("x"))

    assert await memory.find(row("a")) == response("x")
