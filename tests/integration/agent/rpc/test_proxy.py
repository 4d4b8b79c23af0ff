"""A call through an HTTP proxy that the environment names."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from agent.rpc.dial import open_call
from agent.rpc.status import RpcError, Status
from tests.fixtures.waiting import soon
from tests.integration.agent.rpc.conftest import PATH, Server, echo


class Proxy:
    """Knows CONNECT and nothing else."""

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self.answer = "200 Connection established"
        self.address = ""
        self._tasks: set[asyncio.Future[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.requests.append([line for line in head if line])
        writer.write(f"HTTP/1.1 {self.answer}\r\nVia: test\r\n\r\n".encode())
        if not self.answer.startswith("200"):
            writer.close()
            return
        host, _, port = head[0].split()[1].rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        self._writers.append(far_writer)
        for source, target in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(asyncio.ensure_future(self._pass_on(source, target)))

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)

    async def stop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        self.server.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    proxy = Proxy()
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


async def echoes(server: Server) -> bool:
    call = await soon(open_call(server.address, server.authority.ca_pem, PATH))
    await soon(call.send(b"hello"))
    answer = await soon(call.receive())
    await call.close()
    return answer == b"hello"


@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
async def test_a_proxy_of_the_environment_is_used(
    server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    server.handler = echo
    await server.start()
    monkeypatch.setenv(variable, f"http://us%40er:se%3Acret@{proxy.address}")

    assert await echoes(server)

    account = base64.b64encode(b"us@er:se:cret").decode()
    assert proxy.requests == [
        [
            f"CONNECT {server.address} HTTP/1.1",
            f"Host: {server.address}",
            f"Proxy-Authorization: Basic {account}",
        ]
    ]


@pytest.mark.parametrize("exception", ["127.0.0.1", "example.org, 0.0.1", "127.0.0.0/8"])
async def test_hosts_that_need_no_proxy_are_reached_without_it(
    server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, exception: str
) -> None:
    server.handler = echo
    await server.start()
    monkeypatch.setenv("https_proxy", f"http://{proxy.address}")
    monkeypatch.setenv("no_proxy", exception)

    assert await echoes(server)
    assert proxy.requests == []


async def test_a_proxy_that_refuses_is_named(
    server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"http://{proxy.address}")
    proxy.answer = "407 Proxy Authentication Required"
    server.address = "192.0.2.1:443"

    with pytest.raises(RpcError, match="the proxy answered with the status 407") as caught:
        await echoes(server)
    assert caught.value.code is Status.UNAVAILABLE


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:1", "http://", "http://127.0.0.1:1"])
async def test_a_proxy_that_cannot_be_used_is_an_unavailable_server(
    server: Server, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("https_proxy", url)
    server.address = "192.0.2.1:443"

    with pytest.raises(RpcError) as caught:
        await echoes(server)
    assert caught.value.code is Status.UNAVAILABLE
