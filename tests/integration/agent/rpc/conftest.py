import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import grpc.aio
import pytest

from tests.fixtures.agent.fake_edge import Authority
from tests.fixtures.waiting import soon

Context = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[AsyncIterator[bytes], Context], Awaitable[None]]
PATH = "/test.Echo/Run"
KIBIBYTE = 1024


class Server:
    """A real gRPC server whose one method the test writes."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.address = ""
        self.handler: Handler | None = None
        self.calls: asyncio.Queue[Context] = asyncio.Queue()
        self.grpc: grpc.aio.Server | None = None

    async def start(self, *options: tuple[str, int]) -> None:
        self.grpc = grpc.aio.server(
            options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0), *options]
        )
        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(
            self._run
        )
        self.grpc.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("test.Echo", {"Run": method})]
        )
        credentials = grpc.ssl_server_credentials(
            [(self.authority.key, self.authority.certificate)]
        )
        port = self.grpc.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"
        await self.grpc.start()

    async def _run(self, requests: AsyncIterator[bytes], context: Context) -> None:
        self.calls.put_nowait(context)
        assert self.handler
        await self.handler(requests, context)


@pytest.fixture
async def server(authority: Authority) -> AsyncIterator[Server]:
    server = Server(authority)
    yield server
    if server.grpc:
        await soon(server.grpc.stop(None))


async def echo(requests: AsyncIterator[bytes], context: Context) -> None:
    async for request in requests:
        await context.write(request)
