"""Calls whose network, not whose server, fails."""

import asyncio

import pytest

from agent.rpc import call as client
from agent.rpc.dial import open_call
from agent.rpc.status import RpcError, Status
from tests.fixtures.waiting import soon
from tests.integration.agent.rpc.conftest import PATH, Server, echo


class Relay:
    """Passes bytes on until it is told to hold them back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Future[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, far_writer]
        for source, target in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.ensure_future(self._pass_on(source, target))
            self._tasks.add(task)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            await self._open.wait()
            target.write(data)

    def hold(self) -> None:
        self._open.clear()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def stop(self) -> None:
        self.cut()
        for task in self._tasks:
            task.cancel()
        assert self._server
        self._server.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "KEEPALIVE_TIME", 0.2)
    monkeypatch.setattr(client, "KEEPALIVE_TIMEOUT", 0.3)


@pytest.mark.usefixtures("quick")
async def test_pings_keep_a_silent_call(server: Server) -> None:
    server.handler = echo
    await server.start(("grpc.http2.min_ping_interval_without_data_ms", 10))
    call = await soon(open_call(server.address, server.authority.ca_pem, PATH))

    await asyncio.sleep(1.2)

    await soon(call.send(b"still here"))
    assert await soon(call.receive()) == b"still here"
    await call.close()


@pytest.mark.usefixtures("quick")
async def test_a_network_that_swallows_everything_ends_the_call(server: Server) -> None:
    server.handler = echo
    await server.start()
    relay = Relay(int(server.address.rpartition(":")[2]))
    call = await soon(open_call(await relay.start(), server.authority.ca_pem, PATH))
    relay.hold()

    with pytest.raises(RpcError, match="does not answer pings") as caught:
        await soon(call.receive())
    assert caught.value.code is Status.UNAVAILABLE
    await soon(call.close())
    assert call._transport is None or call._transport.is_closing()
    await relay.stop()


async def test_a_broken_connection_ends_the_call(server: Server) -> None:
    server.handler = echo
    await server.start()
    relay = Relay(int(server.address.rpartition(":")[2]))
    call = await soon(open_call(await relay.start(), server.authority.ca_pem, PATH))
    receiving = asyncio.ensure_future(call.receive())
    await asyncio.sleep(0.1)

    relay.cut()

    with pytest.raises(RpcError, match="The connection was lost") as caught:
        await soon(receiving)
    assert caught.value.code is Status.UNAVAILABLE
    await call.close()
    await relay.stop()
