"""A shell in a container."""

import asyncio
import contextlib
import logging
import re
from typing import TYPE_CHECKING

import aiohttp

from agent.engine import text_of
from agent.execute.containers.answers import MESSAGE_LIMIT, translated
from agent.execute.containers.checks import ContainerId
from agent.execute.containers.endings import CALL_TIMEOUT, ENDINGS, end_session, start_words
from agent.execute.failure import CommandFailedError, conflict

if TYPE_CHECKING:
    from aiodocker import Docker as Engine
    from aiodocker.containers import DockerContainer
    from aiodocker.execs import Exec
    from aiodocker.stream import Stream

log = logging.getLogger(__name__)

OPEN_TIMEOUT = 8.0  # seconds
WRITE_TIMEOUT = 0.5  # seconds for the last word to be taken
END_OF_INPUT = b"\x04"
KILLED = 128 + 9
ENVIRONMENT = {"TERM": "xterm-256color"}

_STARTED = re.compile(rb"flotilla ([1-9][0-9]{0,9})\r?\n")
START_LIMIT = 1024  # bytes before it must have said so

# What the library runs into when the engine has hung up.
HUNG_UP = (aiohttp.ClientError, OSError, RuntimeError, AssertionError, AttributeError)


class ShellChannel:
    program = "sh"

    def __init__(
        self,
        container: "DockerContainer",
        execution: "Exec",
        stream: "Stream",
        *,
        session: int,
        greeting: bytes,
    ) -> None:
        self._container = container
        self._execution = execution
        self._stream = stream
        self._session = session
        self._ready = greeting
        self._ended = False
        self._closing: asyncio.Future[int] | None = None

    @classmethod
    async def open(
        cls, engine: "Engine", container_id: ContainerId, columns: int, rows: int, *, mark: str
    ) -> "ShellChannel":
        """Raises: CommandFailedError: the container does not run, or has no shell."""
        container = engine.containers.container(container_id)
        with translated():
            creating = container.exec(
                start_words(mark), stdin=True, tty=True, environment=ENVIRONMENT
            )
            execution = await asyncio.wait_for(creating, CALL_TIMEOUT)
            stream = execution.start()
            try:
                session, greeting = await asyncio.wait_for(_started(stream), OPEN_TIMEOUT)
            except BaseException:
                await _abandon(stream)
                raise
        channel = cls(container, execution, stream, session=session, greeting=greeting)
        try:
            await channel.resize(columns, rows)
        except BaseException:
            await channel.close()
            raise
        return channel

    async def read(self, most: int) -> bytes:
        while not self._ready and not self._ended:
            try:
                message = await self._stream.read_out()
            except HUNG_UP:
                message = None
            if message:
                self._ready = message.data
            else:
                self._ended = True
        taken, self._ready = self._ready[:most], self._ready[most:]
        return taken

    async def write(self, data: bytes) -> None:
        # Who reads is told of the end.
        with contextlib.suppress(*HUNG_UP):
            await self._stream.write_in(data)

    async def resize(self, columns: int, rows: int) -> None:
        with contextlib.suppress(CommandFailedError), translated():
            resizing = self._execution.resize(h=max(rows, 1), w=max(columns, 1))
            await asyncio.wait_for(resizing, CALL_TIMEOUT)

    async def close(self) -> int:
        # Once begun it goes on, so that whoever is cancelled leaves nothing running.
        self._closing = self._closing or asyncio.ensure_future(self._close())
        return await asyncio.shield(self._closing)

    @property
    def closed(self) -> bool:
        return self._closing is not None

    async def _close(self) -> int:
        by_itself = self._ended
        try:
            endings = ENDINGS[:1] if by_itself else ENDINGS
            await end_session(self._container, self._session, endings)
        except CommandFailedError as error:
            # It stopped, which ended all in it, or it is paused.
            log.info("a shell in container %.12s ended with it: %s", self._container.id, error)
        finally:
            await _abandon(self._stream)
        code = await self._exit_code()
        return code if by_itself or code <= 128 else 128 - code

    async def _exit_code(self) -> int:
        """As the engine has it; 128 + 9 when it knows nothing of it any more."""
        with contextlib.suppress(CommandFailedError), translated():
            for _ in range(20):
                answer = await asyncio.wait_for(self._execution.inspect(), CALL_TIMEOUT)
                if not answer["Running"] and answer["ExitCode"] is not None:
                    return int(answer["ExitCode"])
                await asyncio.sleep(0.05)
        return KILLED


async def _started(stream: "Stream") -> tuple[int, bytes]:
    """The session's number, and what came after it.

    Raises:
        CommandFailedError: it did not start.
    """
    said = b""
    while len(said) < START_LIMIT and (message := await stream.read_out()):
        said += message.data
        if match := _STARTED.search(said):
            return int(match[1]), said[match.end() :]
    raise conflict(f"no shell starts in this container: {_printable(said)}")


async def _abandon(stream: "Stream") -> None:
    """Hang up; a shell that is still there and idle reads the end of its input."""
    with contextlib.suppress(*HUNG_UP, asyncio.TimeoutError):
        await asyncio.wait_for(stream.write_in(END_OF_INPUT), WRITE_TIMEOUT)
    with contextlib.suppress(*HUNG_UP):
        await stream.close()


def _printable(said: bytes) -> str:
    text = text_of(said.decode(errors="replace"), MESSAGE_LIMIT)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
