"""Limits of HTTP connections: the real server on a Unix socket, and clients that send what they like."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from services.gateway.api import middleware
from services.gateway.http_protocol import (
    MAX_HEAD,
    LimitedHttpProtocol,
    LimitedSocketProtocol,
)
from services.kit.fair_places import FairPlaces
from tests.fixtures.waiting import until

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
QUICK = 0.4  # seconds


class QuickProtocol(LimitedHttpProtocol):
    head_timeout = QUICK


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the size of the body, after `?wait` seconds."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})
        return
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await asyncio.sleep(float(scope["query_string"] or b"0"))
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(
    path: Path, http: type[asyncio.Protocol] = LimitedHttpProtocol, app: Any = application
) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app,
        uds=str(path),
        http=http,
        ws=LimitedSocketProtocol,
        lifespan="off",
        log_config=None,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    server.capture_signals = suppress  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started, otherwise="the server did not start")
    try:
        yield
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[Path]:
    async with serving(tmp_path / "http"):
        yield tmp_path / "http"


async def exchange(address: Path, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send the parts, and return what comes until the server closes the connection.

    A stream of asyncio would lose an answer that arrives just before a part cannot be sent.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.setblocking(False)  # noqa: FBT003  the interface of the standard library
            await loop.sock_connect(connection, str(address))
            answer = asyncio.create_task(_read(connection))
            try:
                for part in parts:
                    if answer.done():
                        break
                    with suppress(ConnectionError):
                        await loop.sock_sendall(connection, part)
                    await asyncio.sleep(pause)
                return await answer
            finally:
                answer.cancel()
                await asyncio.wait([answer])


async def _read(connection: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionError):
        while block := await asyncio.get_running_loop().sock_recv(connection, 65536):
            received += block
    return received


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def request(
    *headers: bytes, close: bool = True, target: bytes = b"/", method: bytes = b"GET"
) -> bytes:
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: x", *headers]
    return b"\r\n".join([*lines, *([b"Connection: close"] if close else []), b"", b""])


async def test_headers_of_almost_64_kib_are_served(address: Path) -> None:
    many = [b"X-%d: %s" % (number, b"a" * 1000) for number in range(63)]
    assert status(await exchange(address, request(*many))) == 200


@pytest.mark.parametrize(
    "head",
    [
        request(b"Cookie: " + b"a" * MAX_HEAD),
        request(*[b"X-%d: %s" % (number, b"a" * 1000) for number in range(70)]),
        request(*[b"A:"] * 20_000),
        request(target=b"/" + b"a" * MAX_HEAD),
        request(target=b"/?" + b"a=1&" * 20_000),
        HANDSHAKE + b"Cookie: " + b"a" * MAX_HEAD + b"\r\n\r\n",
        HANDSHAKE + b"Cookie: " + b"a" * 9_000 + b"\r\n\r\n",
        HANDSHAKE + b"".join(b"X-%d: a\r\n" % number for number in range(130)) + b"\r\n",
        HANDSHAKE.replace(b" / ", b" /" + b"a" * 9_000 + b" ") + b"\r\n",
    ],
    ids=[
        "one line",
        "many lines",
        "empty lines",
        "path",
        "query",
        "socket",
        "socket's line",
        "socket's lines",
        "socket's path",
    ],
)
@pytest.mark.parametrize("step", [1 << 20, 4096])
async def test_larger_headers_are_refused(address: Path, head: bytes, step: int) -> None:
    parts = [head[start : start + step] for start in range(0, len(head), step)]
    answer = await exchange(address, *parts)
    assert status(answer) == 431, answer[:200]
    document = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert document["type"] == "/problems/headers-too-large"


@pytest.mark.parametrize(
    "endless",
    [
        b"GET / HTTP/1.1\r\nCookie: ",
        b"GET /",
        b"GET / HTTP/1.1\r\nX",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Trailer: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        HANDSHAKE + b"Cookie: ",
    ],
    ids=["header", "path", "name", "trailer", "chunk extension", "socket"],
)
async def test_a_line_without_end_is_refused_long_before_it_fills_the_memory(
    address: Path, endless: bytes
) -> None:
    answer = await exchange(address, endless, *[b"a" * 4096] * 64)
    assert status(answer) in {400, 431}


async def test_many_trailers_are_refused(address: Path) -> None:
    start = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    assert status(await exchange(address, start, *[b"X: aaaa\r\n" * 400] * 40)) == 431


@pytest.mark.parametrize(
    "broken",
    [
        b"\x00\xff\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET \xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\n: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        HANDSHAKE.replace(b" / ", b" /\xff ") + b"\r\n",
        HANDSHAKE + b"Content-Length: 3\r\n\r\nabc",
        HANDSHAKE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HANDSHAKE.replace(b"13", b"12") + b"\r\n",
        HANDSHAKE.replace(b"Key: AAAA", b"Key: \xe9") + b"\r\n",
        HANDSHAKE.replace(b"GET", b"POST") + b"\r\n",
    ],
)
async def test_whatever_the_bytes_the_answer_is_the_clients_fault(
    address: Path, broken: bytes
) -> None:
    assert 400 <= status(await exchange(address, broken)) < 500


async def test_headers_that_do_not_arrive_end_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path / "http", QuickProtocol):
        for start in (b"", b"GET", request(close=False)[:-2], HANDSHAKE):
            assert status(await exchange(tmp_path / "http", start)) == 408, start


async def test_headers_that_arrive_byte_by_byte_have_no_more_time(tmp_path: Path) -> None:
    async with serving(tmp_path / "http", QuickProtocol):
        drip = [bytes([byte]) for byte in request(b"X: " + b"a" * 200)]
        answer = await exchange(tmp_path / "http", *drip, pause=QUICK / 10)
    assert status(answer) == 408


async def test_the_second_request_of_a_connection_has_the_same_time(tmp_path: Path) -> None:
    async with serving(tmp_path / "http", QuickProtocol):
        first = request(close=False)
        answer = await exchange(tmp_path / "http", first, first[:9])
    assert [status(part) for part in answer.split(b"HTTP/1.1")[1:]] == [200, 408] or (
        answer.count(b"HTTP/1.1 200") == 1 and answer.count(b"HTTP/1.1 408") == 1
    )


async def test_a_slow_answer_is_not_cut_by_the_start_of_the_next_request(tmp_path: Path) -> None:
    async with serving(tmp_path / "http", QuickProtocol):
        slow = request(close=False, target=b"/?%f" % (2 * QUICK))
        answer = await exchange(tmp_path / "http", slow + b"GET /")
    first, _, rest = answer.partition(b"HTTP/1.1 408")
    assert first.startswith(b"HTTP/1.1 200")
    assert first.endswith(b"\r\n\r\n0")
    assert rest


async def test_a_websocket_is_opened_and_outlives_the_time_of_its_headers(tmp_path: Path) -> None:
    async with serving(tmp_path / "http", QuickProtocol):
        close = b"\x88\x80\x00\x00\x00\x00"
        answer = await exchange(tmp_path / "http", HANDSHAKE + b"\r\n", close, pause=2 * QUICK)
    assert status(answer) == 101


@pytest.mark.parametrize("encoding", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
async def test_a_body_that_stops_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: bytes
) -> None:
    monkeypatch.setattr(middleware, "BODY_TIMEOUT", QUICK)
    answers: list[str] = []

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        try:
            await application(scope, receive, send)
        except Exception as error:
            answers.append(str(error))
            raise

    app = middleware.observed(reading)
    async with serving(tmp_path / "http", app=app):
        await exchange(tmp_path / "http", request(encoding, method=b"POST") + b"1")
    (answer,) = answers
    assert answer.startswith(f"No byte of the body arrived for {QUICK} s")


async def test_a_body_may_take_long_as_long_as_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "BODY_TIMEOUT", QUICK)
    monkeypatch.setattr(middleware, "BODY_MIN_RATE", 2)
    app = middleware.observed(application)
    async with serving(tmp_path / "http", app=app):
        parts = [request(b"Content-Length: 8", method=b"POST"), *[b"1"] * 8]
        answer = await exchange(tmp_path / "http", *parts, pause=QUICK / 4)
    assert answer.endswith(b"8")


async def test_a_body_that_comes_in_drops_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "BODY_TIMEOUT", QUICK)
    monkeypatch.setattr(middleware, "BODY_MIN_RATE", 100)
    begin = asyncio.get_running_loop().time()
    app = middleware.observed(application)
    async with serving(tmp_path / "http", app=app):
        parts = [request(b"Content-Length: 99", method=b"POST"), *[b"1"] * 99]
        await exchange(tmp_path / "http", *parts, pause=QUICK / 4)
    assert asyncio.get_running_loop().time() - begin < 50 * QUICK / 4


async def test_unfinished_connections_displace_the_oldest_one(tmp_path: Path) -> None:
    class CrowdedProtocol(LimitedHttpProtocol):
        unfinished = FairPlaces["LimitedHttpProtocol"](2, 2)

    async with serving(tmp_path / "http", CrowdedProtocol):
        ends = [await asyncio.open_unix_connection(str(tmp_path / "http")) for _ in range(3)]
        first = await asyncio.wait_for(ends[0][0].read(), 5)
        assert status(first) == 429
        assert b"/problems/busy" in first
        for reader, writer in ends[1:]:
            writer.write(request())
            assert status(await asyncio.wait_for(reader.read(), 5)) == 200
        for _, writer in ends:
            writer.close()
