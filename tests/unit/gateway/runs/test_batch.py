"""The rows that store the changes of a driver."""

import json
from uuid import UUID, uuid4

from services.gateway.runs.follow_store import (
    LINE_COST,
    Batch,
    Begin,
    Change,
    End,
    StoredServer,
)
from services.gateway.runs.output import Text

ROOM = 10_000


def stored(vps_id: UUID, **fields: object) -> StoredServer:
    defaults = {
        "status": "running",
        "request": b"signed",
        "truncated": False,
        "stdout_read": 0,
        "stderr_read": 0,
    }
    return StoredServer(vps_id, **{**defaults, **fields})  # type: ignore[arg-type]


def test_lines_are_numbered_from_the_runs_next_in_the_order_of_the_news() -> None:
    batch, first, second = Batch(7, ROOM), uuid4(), uuid4()
    batch.add(
        Change(first, texts=[Text("stdout", "one", 3), Text("stderr", "two", 3)]), stored(first)
    )
    batch.add(
        Change(second, texts=[Text("stdout", "ä", 2)], end=End("finished", 0)), stored(second)
    )
    assert [(line.position, line.vps_id, line.stream) for line in batch.lines] == [
        (7, first, "stdout"),
        (8, first, "stderr"),
        (9, second, "stdout"),
        (10, second, "status"),
    ]
    assert json.loads(batch.lines[-1].data)["status"] == "finished"
    assert batch.ended == {second}
    assert batch.room == ROOM - 3 * LINE_COST - 3 - 3 - 2


def test_news_that_are_written_twice_are_there_once() -> None:
    batch, vps_id = Batch(0, ROOM), uuid4()
    change = Change(vps_id, texts=[Text("stdout", "one", 3), Text("stdout", "two", 6)])
    batch.add(change, stored(vps_id, stdout_read=3))
    assert [line.data for line in batch.lines] == ["two"]
    begin = Change(vps_id, begin=Begin(b"signed", patience=None))  # type: ignore[arg-type]
    again = Batch(0, ROOM)
    again.add(begin, stored(vps_id))
    assert again.begun == {vps_id}
    assert again.lines == []
    end = Change(vps_id, texts=[Text("stdout", "one", 3)], end=End("finished", 0))
    again.add(end, stored(vps_id, status="finished", stdout_read=3))
    assert again.ended == {vps_id}
    assert again.lines == []


def test_a_server_that_was_cancelled_while_it_waited_is_not_begun() -> None:
    batch, vps_id = Batch(0, ROOM), uuid4()
    begin = Change(vps_id, begin=Begin(b"signed", patience=None))  # type: ignore[arg-type]
    batch.add(begin, stored(vps_id, status="cancelled", request=None))
    assert (batch.begun, batch.lines, batch.updates) == (set(), [], [])


def test_a_server_has_one_end() -> None:
    batch, vps_id = Batch(0, ROOM), uuid4()
    batch.add(Change(vps_id, end=End("finished", 0)), stored(vps_id, status="lost"))
    assert (batch.ended, batch.lines) == (set(), [])


def test_after_the_first_line_that_does_not_fit_nothing_more_of_a_server_is_kept() -> None:
    batch, much, little = Batch(0, 3 * LINE_COST + 20), uuid4(), uuid4()
    change = Change(much)
    change.texts = [
        Text("stdout", "x" * 10, 10),
        Text("stdout", "y" * 100, 110),
        Text("stdout", "z", 111),
    ]
    batch.add(change, stored(much))
    batch.add(Change(little, texts=[Text("stdout", "a", 1)]), stored(little))
    assert [line.data for line in batch.lines] == ["x" * 10, "a"]
    assert [update["truncated"] for update in batch.updates] == [True, False]
    assert [update["stdout"] for update in batch.updates] == [111, 1]
    assert batch.dropped == 101
