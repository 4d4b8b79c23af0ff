import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import aiohttp

from agent.execute.containers.answers import translated
from agent.execute.containers.checks import ContainerId
from agent.execute.containers.loglines import LogLines
from agent.execute.failure import CommandFailedError
from flotilla.v1.command_pb2 import DockerAction

if TYPE_CHECKING:
    from aiodocker import Docker as Engine

TAIL_LIMIT = 10_000  # lines
LOG_LIMIT = 1024 * 1024  # bytes of one answer
CHUNK = 64 * 1024  # bytes


async def read_logs(
    engine: "Engine", container: ContainerId, action: DockerAction
) -> tuple[bytes, bool]:
    """The newest lines, as `LogLines` gives them; whether some were left out.

    Raises:
        CommandFailedError: no such container, or its log cannot be read.
    """
    most = min(action.tail or TAIL_LIMIT, TAIL_LIMIT)
    parameters: dict[str, Any] = {"tail": str(most + 1)}
    if action.since_unix_ms:
        parameters["since"] = _seconds(action.since_unix_ms)
    if action.until_unix_ms:
        # The engine counts the last lines before it looks at their time.
        parameters |= {"until": _seconds(action.until_unix_ms), "tail": "all"}
    newest = _Newest(most)
    with translated():
        response, lines = await _open(engine, container, parameters)
        try:
            while chunk := await response.content.read(CHUNK):
                for line in lines.feed(chunk):
                    newest.add(line)
            for line in lines.rest():
                newest.add(line)
        finally:
            response.close()
    asked_for = len(newest.lines) == action.tail
    return b"".join(newest.lines), newest.dropped and not asked_for


class _Newest:
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
) -> tuple[aiohttp.ClientResponse, LogLines]:
    record = await engine.containers.container(container).show()
    # The library's own method gives text, and neither stream nor time.
    response = await engine._do_query(  # noqa: SLF001
        f"containers/{container}/logs",
        "GET",
        params={"stdout": "1", "stderr": "1", "timestamps": "1", **parameters},
    )
    return response, LogLines(framed=not record["Config"]["Tty"])


class LogChannel:
    """A container's log for as long as it runs; read from the engine no faster than from here."""

    program = ""

    def __init__(self, response: aiohttp.ClientResponse, lines: LogLines) -> None:
        self._response = response
        self._lines = lines
        self._ready = bytearray()
        self._broken = False

    @classmethod
    async def open(
        cls, engine: "Engine", container: ContainerId, *, tail: int, since_unix_ms: int
    ) -> "LogChannel":
        """Raises: CommandFailedError: no such container, or its log cannot be read."""
        most = min(tail or TAIL_LIMIT, TAIL_LIMIT)
        parameters = {"follow": "1", "tail": str(most)}
        if since_unix_ms:
            parameters["since"] = _seconds(since_unix_ms)
        with translated():
            return cls(*await _open(engine, container, parameters))

    async def read(self, most: int) -> bytes:
        while not self._ready:
            chunk = await self._next()
            for line in self._lines.feed(chunk) if chunk else self._lines.rest():
                self._ready += line
            if not chunk:
                break
        taken = bytes(self._ready[:most])
        del self._ready[:most]
        return taken

    async def _next(self) -> bytes:
        try:
            with translated():
                return await self._response.content.read(CHUNK)
        except CommandFailedError:
            self._broken = True
            return b""

    async def write(self, data: bytes) -> None:
        """A log takes no input."""

    async def resize(self, columns: int, rows: int) -> None:
        """A log has no width."""

    async def close(self) -> int:
        """1 when the engine went away."""
        self._response.close()
        await asyncio.sleep(0)  # the connection is closed in the loop's next turn
        return int(self._broken)


def _seconds(unix_ms: int) -> str:
    return f"{unix_ms // 1000}.{unix_ms % 1000:03}"
