"""A shell in a container."""

import asyncio
import contextlib
import logging
import re
from typing import TYPE_CHECKING

from agent.commands.errors import CommandFailedError, conflict
from agent.docker.client import clean_text
from agent.docker.engine_errors import MESSAGE_LIMIT, translate_engine_errors
from agent.docker.exec_cleanup import CALL_TIMEOUT, STEPS, end_session, start_words
from agent.docker.identifiers import ContainerId
from agent.docker.library import aiohttp

if TYPE_CHECKING:
    from aiodocker import Docker as Engine
    from aiodocker.containers import DockerContainer
    from aiodocker.execs import Exec
    from aiodocker.stream import Stream

log = logging.getLogger(__name__)

OPEN_TIMEOUT = 8.0  # seconds
WRITE_TIMEOUT = 0.5  # seconds for the last input
END_OF_INPUT = b"\x04"
EXIT_KILLED = 128 + 9
ENVIRONMENT = {"TERM": "xterm-256color"}

_STARTED = re.compile(rb"flotilla ([1-9][0-9]{0,9})\r?\n")
START_LIMIT = 1024  # bytes in which the process id must have been printed

# Errors of the library after the engine has closed the connection.
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
        first_output: bytes,
    ) -> None:
        self._container = container
        self._execution = execution
        self._stream = stream
        self._session = session
        self._unread = first_output
        self._ended = False
        self._closing: asyncio.Future[int] | None = None

    @classmethod
    async def open(
        cls,
        engine: "Engine",
        container_id: ContainerId,
        *,
        columns: int,
        rows: int,
        agent_tag: str,
    ) -> "ShellChannel":
        """Raises: CommandFailedError: the container does not run, or has no shell."""
        container = engine.containers.container(container_id)
        with translate_engine_errors():
            creating = container.exec(
                start_words(agent_tag), stdin=True, tty=True, environment=ENVIRONMENT
            )
            execution = await asyncio.wait_for(creating, CALL_TIMEOUT)
            stream = execution.start()
            try:
                session, output = await asyncio.wait_for(_read_session(stream), OPEN_TIMEOUT)
            except BaseException:
                await _hang_up(stream)
                raise
        channel = cls(container, execution, stream, session=session, first_output=output)
        try:
            await channel.resize(columns, rows)
        except BaseException:
            await channel.close()
            raise
        return channel

    async def read(self, most: int) -> bytes:
        while not self._unread and not self._ended:
            try:
                message = await self._stream.read_out()
            except HUNG_UP:
                message = None
            if message:
                self._unread = message.data
            else:
                self._ended = True
        data, self._unread = self._unread[:most], self._unread[most:]
        return data

    async def write(self, data: bytes) -> None:
        # read() reports the end.
        with contextlib.suppress(*HUNG_UP):
            await self._stream.write_in(data)

    async def resize(self, columns: int, rows: int) -> None:
        with contextlib.suppress(CommandFailedError), translate_engine_errors():
            resizing = self._execution.resize(h=max(rows, 1), w=max(columns, 1))
            await asyncio.wait_for(resizing, CALL_TIMEOUT)

    async def close(self) -> int:
        # Closing goes on if the caller is cancelled, so that no process is left running.
        self._closing = self._closing or asyncio.ensure_future(self._close())
        return await asyncio.shield(self._closing)

    @property
    def closed(self) -> bool:
        return self._closing is not None

    async def _close(self) -> int:
        exited = self._ended
        try:
            steps = STEPS[:1] if exited else STEPS
            await end_session(self._container, self._session, steps)
        except CommandFailedError as error:
            # A stopped container has no processes; in a paused one none can be signalled.
            log.info("a shell in container %.12s ended with it: %s", self._container.id, error)
        finally:
            await _hang_up(self._stream)
        code = await self._exit_code()
        return code if exited or code <= 128 else 128 - code

    async def _exit_code(self) -> int:
        """Return the exit code that the engine knows; 128 + 9 if it does not know one."""
        with contextlib.suppress(CommandFailedError), translate_engine_errors():
            for _ in range(20):
                execution = await asyncio.wait_for(self._execution.inspect(), CALL_TIMEOUT)
                if not execution["Running"] and execution["ExitCode"] is not None:
                    return int(execution["ExitCode"])
                await asyncio.sleep(0.05)
        return EXIT_KILLED


async def _read_session(stream: "Stream") -> tuple[int, bytes]:
    """Return the session's number, and the output after it.

    Raises:
        CommandFailedError: the shell did not start.
    """
    output = b""
    while len(output) < START_LIMIT and (message := await stream.read_out()):
        output += message.data
        if match := _STARTED.search(output):
            return int(match[1]), output[match.end() :]
    raise conflict(
        f"No shell could be started in this container: {_printable(output) or 'no output'}."
        " The image may have no /bin/sh."
    )


async def _hang_up(stream: "Stream") -> None:
    """Close the stream; an idle shell that is still there reads the end of its input."""
    with contextlib.suppress(*HUNG_UP, asyncio.TimeoutError):
        await asyncio.wait_for(stream.write_in(END_OF_INPUT), WRITE_TIMEOUT)
    with contextlib.suppress(*HUNG_UP):
        await stream.close()


def _printable(output: bytes) -> str:
    text = clean_text(output.decode(errors="replace"), MESSAGE_LIMIT)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
