import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.docker import engine_reader
from agent.docker.engine_reader import EngineAnswerError, EngineReader
from tests.fixtures.waiting import soon

OK = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"


@asynccontextmanager
async def answering(
    folder: Path, answer: bytes, *, ends: bool = True
) -> AsyncIterator[list[bytes]]:
    """Yield the requests to a server at `folder`/s, which answers all of them with these bytes."""
    requests: list[bytes] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if not ends:
            await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(accept, folder / "s")
    yield requests
    server.close()


async def test_the_request_is_one_that_is_answered_in_one_piece(tmp_path: Path) -> None:
    async with answering(tmp_path, OK + b'[{"Id": "a"}]') as requests:
        reader = EngineReader(tmp_path / "s", timeout=5)
        found = await soon(reader.get("containers/json", {"filters": '{"a": ["b"]}'}))

    assert found == [{"Id": "a"}]
    line = b"GET /containers/json?filters=%7B%22a%22%3A+%5B%22b%22%5D%7D HTTP/1.0"
    assert requests == [line + b"\r\nHost: docker\r\n\r\n"]


async def test_an_error_of_the_engine_has_its_status_and_its_words(tmp_path: Path) -> None:
    answer = b'HTTP/1.0 404 Not Found\r\n\r\n{"message": "No such container: x"}'
    async with answering(tmp_path, answer):
        with pytest.raises(EngineAnswerError, match="No such container: x") as caught:
            await soon(EngineReader(tmp_path / "s", timeout=5).get("x", {}))
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.0\r\n\r\n[]",
        b"HTTP/1.0 OK\r\n\r\n[]",
        OK,
        OK + b'[{"Id": ',
        OK + b"\xff\xfe",
        b"HTTP/1.0 500 Internal Server Error\r\n\r\nsorry",
    ],
)
async def test_what_is_no_document_is_an_engine_that_does_not_answer(
    tmp_path: Path, answer: bytes
) -> None:
    async with answering(tmp_path, answer):
        with pytest.raises(OSError, match="did not answer with a JSON document"):
            await soon(EngineReader(tmp_path / "s", timeout=5).get("x", {}))


async def test_an_answer_over_the_limit_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_reader, "ANSWER_LIMIT", 100_000)
    async with answering(tmp_path, OK + bytes(200_000), ends=False):
        with pytest.raises(OSError, match="more than 100000 bytes"):
            await soon(EngineReader(tmp_path / "s", timeout=5).get("x", {}))


async def test_an_answer_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    async with answering(tmp_path, OK + b"[", ends=False):
        with pytest.raises(asyncio.TimeoutError):
            await soon(EngineReader(tmp_path / "s", timeout=0.1).get("x", {}))


def test_a_socket_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="there is no socket"):
        EngineReader(tmp_path / "none", timeout=1)
