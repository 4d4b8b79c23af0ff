"""Servers that break the rules of HTTP/2 or gRPC, or use rarely used parts of them."""

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import hpack
import pytest

from agent.rpc import call as client
from agent.rpc import frames
from agent.rpc.dial import open_call
from agent.rpc.status import RpcError, Status
from tests.fixtures.agent.fake_edge import Authority
from tests.fixtures.waiting import soon

END, WHOLE = frames.END_STREAM, frames.END_HEADERS


def block(*fields: tuple[str, str]) -> bytes:
    encoder = hpack.Encoder()
    return encoder.encode(list(fields))


RESPONSE = block((":status", "200"), ("content-type", "application/grpc"))
TRAILERS = block(("grpc-status", "0"))
SETTINGS = frames.build(frames.SETTINGS, 0, 0, b"")
HEADERS = SETTINGS + frames.build(frames.HEADERS, WHOLE, 1, RESPONSE)
MESSAGE = b"\0\0\0\0\x05hello"
OK = frames.build(frames.HEADERS, WHOLE | END, 1, TRAILERS)


def data(payload: bytes, flags: int = 0) -> bytes:
    return frames.build(frames.DATA, flags, 1, payload)


def server_context(authority: Authority, folder: Path, protocol: str) -> ssl.SSLContext:
    (folder / "key").write_bytes(authority.key)
    (folder / "certificate").write_bytes(authority.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    context.set_alpn_protocols([protocol])
    return context


@asynccontextmanager
async def calling(
    authority: Authority, folder: Path, answer: bytes, pieces: int = 1 << 20, protocol: str = "h2"
) -> AsyncIterator[client.Call]:
    """Yield a call to a server that answers with these bytes, `pieces` at a time, and waits."""
    context = server_context(authority, folder, protocol)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            for at in range(0, len(answer), pieces):
                writer.write(answer[at : at + pieces])
                await writer.drain()
            while await reader.read(65_536):
                pass
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        call = await soon(open_call(f"127.0.0.1:{port}", authority.ca_pem, "/test.Echo/Run"))
        yield call
        await soon(call.close())
    finally:
        server.close()


async def all_messages(call: client.Call) -> None:
    while await call.receive() is not None:
        pass


@pytest.mark.parametrize(
    "answer",
    [
        HEADERS + data(MESSAGE) + OK,
        HEADERS + data(MESSAGE[:3]) + data(b"") + data(MESSAGE[3:]) + OK,
        HEADERS + frames.build(frames.DATA, frames.PADDED, 1, b"\x03" + MESSAGE + bytes(3)) + OK,
        SETTINGS
        + frames.build(frames.HEADERS, WHOLE, 1, block((":status", "100")))
        + frames.build(
            frames.HEADERS,
            frames.PADDED | frames.PRIORITY,
            1,
            b"\x02" + bytes(5) + RESPONSE[:2] + bytes(2),
        )
        + frames.build(frames.CONTINUATION, 0, 1, b"")
        + frames.build(frames.CONTINUATION, WHOLE, 1, RESPONSE[2:])
        + frames.build(0x2A, 0xFF, 7, b"an extension")
        + frames.build(frames.PING, 0, 0, bytes(8))
        + frames.build(frames.GOAWAY, 0, 0, b"\x7f\xff\xff\xff" + bytes(4))
        + data(MESSAGE)
        + OK,
    ],
)
@pytest.mark.parametrize("pieces", [1, 7, 1 << 20])
async def test_rare_but_valid_answers_are_understood(
    authority: Authority, tmp_path: Path, answer: bytes, pieces: int
) -> None:
    async with calling(authority, tmp_path, answer, pieces) as call:
        assert await soon(call.receive()) == b"hello"
        assert await soon(call.receive()) is None


@pytest.mark.parametrize(
    ("answer", "code", "problem"),
    [
        (frames.build(frames.DATA, 0, 1, bytes(16_385)), Status.INTERNAL, "frame of 16385 bytes"),
        (SETTINGS + data(MESSAGE), Status.INTERNAL, "data before headers"),
        (
            HEADERS + frames.build(frames.DATA, frames.PADDED, 1, b"\x09"),
            Status.INTERNAL,
            "padding",
        ),
        (HEADERS + frames.build(frames.DATA, frames.PADDED, 1, b""), Status.INTERNAL, "padding"),
        (HEADERS + frames.build(frames.DATA, 0, 3, b""), Status.INTERNAL, "not asked for"),
        (frames.build(frames.PUSH_PROMISE, 0, 1, bytes(9)), Status.INTERNAL, "not asked for"),
        (frames.build(frames.CONTINUATION, 0, 1, b""), Status.INTERNAL, "without headers"),
        (
            frames.build(frames.HEADERS, 0, 1, RESPONSE) + SETTINGS,
            Status.INTERNAL,
            "not continued",
        ),
        (
            frames.build(frames.HEADERS, 0, 1, b"")
            + frames.build(frames.CONTINUATION, 0, 1, bytes(16_000)) * 5,
            Status.INTERNAL,
            "headers of more than 65536 bytes",
        ),
        (frames.build(frames.HEADERS, WHOLE, 1, b"\xff\xff\xff"), Status.INTERNAL, "HTTP/2"),
        (frames.build(frames.SETTINGS, 0, 0, b"12345"), Status.INTERNAL, "settings of 5 bytes"),
        (frames.build(frames.WINDOW_UPDATE, 0, 0, b"123"), Status.INTERNAL, "number of 3 bytes"),
        (
            frames.build_window_update(0, frames.LARGEST_WINDOW),
            Status.INTERNAL,
            "window that is too large",
        ),
        (frames.build(frames.GOAWAY, 0, 0, b"1234567"), Status.INTERNAL, "short GOAWAY"),
        (
            frames.build(frames.GOAWAY, 0, 0, bytes(4) + bytes(4) + b"too many pings"),
            Status.UNAVAILABLE,
            "too many pings",
        ),
        (frames.build(frames.RST_STREAM, 0, 1, b"\0\0\0\x07"), Status.UNAVAILABLE, "error 7"),
        (frames.build(frames.RST_STREAM, 0, 1, b"\0\0\0\x08"), Status.CANCELLED, "error 8"),
        (frames.build(frames.RST_STREAM, 0, 1, b"\0\0\0\x02"), Status.INTERNAL, "error 2"),
        (HEADERS + data(b"\x01\0\0\0\x01x"), Status.INTERNAL, "compressed"),
        (HEADERS + data(b"\0\xff\xff\xff\xff"), Status.RESOURCE_EXHAUSTED, "4294967295 bytes"),
        (HEADERS + data(MESSAGE[:7]) + OK, Status.INTERNAL, "within a message"),
        (HEADERS + data(b"", END), Status.INTERNAL, "without a status"),
        (
            frames.build(frames.HEADERS, WHOLE, 1, block((":status", "503"))),
            Status.UNAVAILABLE,
            "HTTP status 503",
        ),
        (
            frames.build(frames.HEADERS, WHOLE, 1, block((":status", "200"))),
            Status.UNKNOWN,
            "does not speak gRPC",
        ),
        (
            HEADERS + frames.build(frames.HEADERS, WHOLE | END, 1, block(("grpc-status", "x"))),
            Status.UNKNOWN,
            "UNKNOWN",
        ),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Status.INTERNAL, "a frame of"),
    ],
)
async def test_an_answer_that_breaks_the_rules_ends_the_call(
    authority: Authority, tmp_path: Path, answer: bytes, code: Status, problem: str
) -> None:
    async with calling(authority, tmp_path, answer) as call:
        with pytest.raises(RpcError, match=problem) as caught:
            await soon(all_messages(call))
    assert caught.value.code is code


async def test_more_data_than_the_window_allows_ends_the_call(
    authority: Authority, tmp_path: Path
) -> None:
    size = 3 * client.WINDOW
    stream = b"".join(
        b"\0" + (16_000).to_bytes(4, "big") + bytes(16_000) for _ in range(size // 16_000)
    )
    answer = HEADERS + b"".join(data(stream[at : at + 16_384]) for at in range(0, size, 16_384))

    async with calling(authority, tmp_path, answer) as call:
        await soon(call._closed.wait())
        with pytest.raises(RpcError, match="more data than its window allows"):
            await soon(all_messages(call))


async def test_a_server_that_asks_without_reading_the_answers_is_left(
    authority: Authority, tmp_path: Path
) -> None:
    context = server_context(authority, tmp_path, "h2")

    async def ask(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a transport that reads
        pings = frames.build(frames.PING, 0, 0, bytes(8)) * 1_000
        with contextlib.suppress(OSError):
            while True:
                writer.write(pings)
                await writer.drain()

    server = await asyncio.start_server(ask, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    call = await soon(open_call(f"127.0.0.1:{port}", authority.ca_pem, "/test.Echo/Run"))
    with pytest.raises(RpcError, match="does not read what it asked for"):
        await soon(call.receive())
    await call.close()
    server.close()


async def test_a_server_without_http2_is_not_used(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(RpcError, match="does not speak HTTP/2") as caught:
        async with calling(authority, tmp_path, b"", protocol="http/1.1"):
            pass
    assert caught.value.code is Status.UNAVAILABLE


async def test_arbitrary_bytes_never_do_more_than_end_the_call(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(7)
    valid = HEADERS + data(MESSAGE) + OK
    for _ in range(150):
        answer = bytearray(valid)
        for _ in range(chance.randint(1, 6)):
            answer[chance.randrange(len(answer))] = chance.randrange(256)
        async with calling(authority, tmp_path, bytes(answer), chance.randint(1, 40)) as call:
            with contextlib.suppress(RpcError, asyncio.TimeoutError):
                while await asyncio.wait_for(call.receive(), 0.02) is not None:
                    pass
    assert caplog.records == []
