"""Calls of the agent's client against the server of the library that the edge uses."""

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest

from agent.rpc import call as client
from agent.rpc.dial import open_call
from agent.rpc.status import RpcError, Status
from tests.fixtures.waiting import soon
from tests.integration.agent.rpc.conftest import PATH, Context, Server, echo


async def begin(server: Server, *, timeout: float | None = None) -> client.Call:
    return await soon(open_call(server.address, server.authority.ca_pem, PATH, timeout=timeout))


@pytest.mark.parametrize("size", [0, 1, 16_384 - 5, 16_384, 1_000_000, 4 * 1024 * 1024])
async def test_messages_of_any_size_arrive_both_ways(server: Server, size: int) -> None:
    server.handler = echo
    await server.start()
    call = await begin(server)
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)

    for _ in range(3):
        await soon(call.send(message))
        assert await soon(call.receive()) == message

    await call.close()


async def test_many_messages_at_once_keep_their_order(server: Server) -> None:
    server.handler = echo
    await server.start()
    call = await begin(server)
    count = 2_000

    async def send() -> None:
        for number in range(count):
            await call.send(number.to_bytes(4, "big") * 1_000)

    sending = asyncio.ensure_future(send())
    for number in range(count):
        assert await soon(call.receive()) == number.to_bytes(4, "big") * 1_000
    await sending
    await call.close()


async def test_a_server_that_does_not_read_makes_the_sender_wait(server: Server) -> None:
    read = asyncio.Event()

    async def late(requests: AsyncIterator[bytes], context: Context) -> None:
        await read.wait()
        await echo(requests, context)

    server.handler = late
    await server.start()
    call = await begin(server)
    sending = asyncio.ensure_future(call.send(bytes(20_000_000)))

    done, _ = await asyncio.wait({sending}, timeout=0.5)
    assert not done
    assert call._transport
    assert call._transport.get_write_buffer_size() <= 2 * client.WRITE_BUFFER
    read.set()
    await soon(sending)
    await call.close()


async def test_a_client_that_does_not_read_makes_the_server_wait(server: Server) -> None:
    sent = 0

    async def flood(_: AsyncIterator[bytes], context: Context) -> None:
        nonlocal sent
        for _number in range(100):
            await context.write(bytes(200_000))
            sent += 1

    server.handler = flood
    await server.start()
    call = await begin(server)

    await asyncio.sleep(0.5)
    assert sent < 50
    # The windows of the stream and of the connection, and a message that began within them.
    assert sum(map(len, call._messages)) <= 2 * client.WINDOW + 200_000
    for _ in range(100):
        assert await soon(call.receive()) == bytes(200_000)
    assert await soon(call.receive()) is None
    await call.close()


async def test_a_message_over_the_limit_ends_the_call(server: Server) -> None:
    async def large(_: AsyncIterator[bytes], context: Context) -> None:
        await context.write(bytes(client.MESSAGE_LIMIT + 1))

    server.handler = large
    await server.start()
    call = await begin(server)

    with pytest.raises(RpcError, match="4194305 bytes; the limit is 4194304") as caught:
        await soon(call.receive())
    assert caught.value.code is Status.RESOURCE_EXHAUSTED
    await call.close()


@pytest.mark.parametrize("greeted", [False, True])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, Status.UNAUTHENTICATED),
        (grpc.StatusCode.CANCELLED, Status.CANCELLED),
        (grpc.StatusCode.UNAVAILABLE, Status.UNAVAILABLE),
    ],
)
async def test_the_status_of_the_server_follows_its_messages(
    server: Server, code: grpc.StatusCode, expected: Status, *, greeted: bool
) -> None:
    async def refuse(_: AsyncIterator[bytes], context: Context) -> None:
        if greeted:
            await context.write(b"hello")
        await context.abort(code, "nicht möglich: 100 %\n")

    server.handler = refuse
    await server.start()
    call = await begin(server)

    if greeted:
        assert await soon(call.receive()) == b"hello"
    with pytest.raises(RpcError) as caught:
        await soon(call.receive())
    assert (caught.value.code, caught.value.details) == (expected, "nicht möglich: 100 %\n")
    with pytest.raises(RpcError):
        await soon(call.send(b"late"))
    await call.close()


async def test_a_server_that_says_it_stops_still_serves_the_call(server: Server) -> None:
    server.handler = echo
    await server.start()
    call = await begin(server)
    await soon(server.calls.get())
    assert server.grpc
    stopping = asyncio.ensure_future(server.grpc.stop(5.0))
    await asyncio.sleep(0.3)

    await soon(call.send(b"one more"))
    assert await soon(call.receive()) == b"one more"

    await call.close()
    await soon(stopping)


async def test_a_connection_that_grew_too_old_ends_as_unavailable(server: Server) -> None:
    server.handler = echo
    await server.start(
        ("grpc.max_connection_age_ms", 500), ("grpc.max_connection_age_grace_ms", 1_000)
    )
    call = await begin(server)
    began = time.monotonic()

    with pytest.raises(RpcError) as caught:
        await soon(call.receive())
    assert caught.value.code in (Status.UNAVAILABLE, Status.CANCELLED)
    assert time.monotonic() - began > 1.0
    await call.close()


async def test_the_server_hears_at_once_that_a_call_was_closed(server: Server) -> None:
    cancelled = asyncio.Event()

    async def wait(_: AsyncIterator[bytes], __: Context) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    server.handler = wait
    await server.start()
    call = await begin(server)
    await soon(server.calls.get())
    began = time.monotonic()

    await call.close()

    assert time.monotonic() - began < client.CLOSE_TIMEOUT
    await soon(cancelled.wait())


async def test_the_server_knows_the_deadline(server: Server) -> None:
    server.handler = echo
    await server.start()
    call = await begin(server, timeout=30.0)

    context = await soon(server.calls.get())

    assert 25.0 < context.time_remaining() <= 30.0
    await call.close()


async def test_a_half_sent_message_ends_the_call(server: Server) -> None:
    async def silent(_: AsyncIterator[bytes], __: Context) -> None:
        await asyncio.sleep(60)

    server.handler = silent
    await server.start()
    call = await begin(server)
    sending = asyncio.ensure_future(call.send(bytes(20_000_000)))
    await asyncio.sleep(0.3)

    sending.cancel()

    with pytest.raises(RpcError, match="sent only in part"):
        await soon(call.receive())
    await call.close()
