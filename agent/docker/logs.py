import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from agent.commands.errors import CommandFailedError
from agent.docker.engine_errors import translate_engine_errors
from agent.docker.identifiers import ContainerId
from agent.docker.library import aiohttp
from agent.docker.log_parser import LogParser
from flotilla.v1.command_pb2 import DockerAction

if TYPE_CHECKING:
    from aiodocker import Docker as Engine

TAIL_LIMIT = 10_000  # lines
LOG_LIMIT = 1024 * 1024  # bytes of one response
CHUNK = 64 * 1024  # bytes


async def read_logs(
    engine: "Engine", container: ContainerId, action: DockerAction
) -> tuple[bytes, bool]:
    """Return the newest lines, as `LogParser` yields them; True if lines were left out.

    Raises:
        CommandFailedError: the container does not exist, or its log cannot be read.
    """
    most = min(action.tail or TAIL_LIMIT, TAIL_LIMIT)
    parameters: dict[str, Any] = {"tail": str(most + 1)}
    if action.since_unix_ms:
        parameters["since"] = _seconds(action.since_unix_ms)
    if action.until_unix_ms:
        # The engine applies `tail` before `until`, so it has to send all lines.
        parameters |= {"until": _seconds(action.until_unix_ms), "tail": "all"}
    newest = _NewestLines(most)
    with translate_engine_errors():
        response, parser = await _open(engine, container, parameters)
        try:
            while chunk := await response.content.read(CHUNK):
                for line in parser.feed(chunk):
                    newest.add(line)
            for line in parser.finish():
                newest.add(line)
        finally:
            response.close()
    is_complete_tail = len(newest.lines) == action.tail
    return b"".join(newest.lines), newest.dropped and not is_complete_tail


class _NewestLines:
    """The last lines within a number and a size."""

    def __init__(self, most: int) -> None:
        self.lines: deque[bytes] = deque()
        self.dropped = False
        self._most = most
        self._size = 0

    def add(self, line: bytes) -> None:
        self.lines.append(line)
        self._size += len(line)
        while len(self.lines) > self._most or self._size > LOG_LIMIT:
            self.dropped = True
            self._size -= len(self.lines.popleft())


async def _open(
    engine: "Engine", container: ContainerId, parameters: dict[str, Any]
) -> tuple[aiohttp.ClientResponse, LogParser]:
    record = await engine.containers.container(container).show()
    # The library's own method returns text without stream and time.
    response = await engine._do_query(  # noqa: SLF001
        f"containers/{container}/logs",
        "GET",
        params={"stdout": "1", "stderr": "1", "timestamps": "1", **parameters},
    )
    return response, LogParser(framed=not record["Config"]["Tty"])


class LogChannel:
    """The log of a running container, read from the engine only as fast as it is read here."""

    program = ""

    def __init__(self, response: aiohttp.ClientResponse, parser: LogParser) -> None:
        self._response = response
        self._parser = parser
        self._unread = bytearray()
        self._failed = False

    @classmethod
    async def open(
        cls, engine: "Engine", container: ContainerId, *, tail: int, since_unix_ms: int
    ) -> "LogChannel":
        """Raises: CommandFailedError: the container does not exist, or has no readable log."""
        most = min(tail or TAIL_LIMIT, TAIL_LIMIT)
        parameters = {"follow": "1", "tail": str(most)}
        if since_unix_ms:
            parameters["since"] = _seconds(since_unix_ms)
        with translate_engine_errors():
            response, parser = await _open(engine, container, parameters)
        return cls(response, parser)

    async def read(self, most: int) -> bytes:
        while not self._unread:
            chunk = await self._next_chunk()
            for line in self._parser.feed(chunk) if chunk else self._parser.finish():
                self._unread += line
            if not chunk:
                break
        data = bytes(self._unread[:most])
        del self._unread[:most]
        return data

    async def _next_chunk(self) -> bytes:
        try:
            with translate_engine_errors():
                return await self._response.content.read(CHUNK)
        except CommandFailedError:
            self._failed = True
            return b""

    async def write(self, data: bytes) -> None:
        """Ignore input, which a log does not have."""

    async def resize(self, columns: int, rows: int) -> None:
        """Ignore the size, which a log does not have."""

    async def close(self) -> int:
        """Return 1 if the connection to the engine broke."""
        self._response.close()
        await asyncio.sleep(0)  # the loop closes the connection in its next iteration
        return int(self._failed)


def _seconds(unix_ms: int) -> str:
    return f"{unix_ms // 1000}.{unix_ms % 1000:03}"
