"""Chunked transfers to and from an agent. They continue after the agent's stream broke."""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Self

from prometheus_client import Counter

from flotilla.v1.command_pb2 import Command, CommandResponse, FileAction, FileChunk, FileEntry
from services.gateway.context import Context
from services.gateway.servers.agent_errors import is_passing
from services.kit.agents.commands import CommandError, OfflineError, execute, new_command
from services.kit.errors import FlotillaError, TransientError

CHUNK_SIZE = 256 * 1024  # bytes
MAX_IN_FLIGHT = 4  # chunks of one transfer
CHUNK_TIMEOUT = 10.0  # seconds
BUSY_TIMEOUT = 5.0  # seconds
FIRST_DELAY = 0.1  # seconds before the first repeat
MAX_DELAY = 2.0  # seconds
MIN_CHECK_RATE = 10e6  # bytes/s; an agent reads an uploaded file at least so fast to check it
MAX_COMMIT_TIMEOUT = 3600.0  # seconds

BYTES = Counter(
    "flotilla_transfer_bytes_total", "Bytes of files that passed the gateway", ["direction"]
)
REPEATS = Counter("flotilla_transfer_repeats_total", "Chunks that were sent or requested again")


class ChangedError(FlotillaError):
    """The file is not the version that the transfer began with."""


class FileCaller:
    """Calls one agent for the file actions of one transfer, and repeats calls that failed."""

    def __init__(self, context: Context, vps_id: str, actor: str) -> None:
        self._context = context
        self._vps_id = vps_id
        self._actor = actor
        self._slots = context.transfers.agent_slots(vps_id)
        self._progress_at = time.monotonic()
        self.progress_timeout = context.timing.transfer_patience
        """Seconds without any progress until the transfer fails."""

    async def call(self, action: FileAction) -> CommandResponse:
        """Execute the action; an agent that is busy is asked again for a moment.

        Raises:
            CommandError, OfflineError, TransientError.
        """
        until = time.monotonic() + BUSY_TIMEOUT
        while True:
            try:
                return await self._call_once(action)
            except CommandError as error:
                is_busy = error.failure == CommandResponse.FAILURE_BUSY
                if not is_busy or time.monotonic() > until:
                    raise
            await asyncio.sleep(FIRST_DELAY)

    async def call_idempotent(self, action: FileAction) -> CommandResponse:
        """Execute an action that may be executed twice; repeat it after a broken stream.

        Raises:
            CommandError, OfflineError, TransientError: `progress_timeout` passed without progress.
        """
        delay = FIRST_DELAY
        while True:
            try:
                response = await self._call_once(action)
            except (CommandError, OfflineError, TransientError) as error:
                await self._wait(error, delay)
                delay = min(delay * 2, MAX_DELAY)
            else:
                self.progressed()
                return response

    async def call_exactly_once(self, action: FileAction, size: int) -> CommandResponse:
        """Execute an action that must not be executed twice, on a file of `size` bytes.

        A repeat has the same command id, and the agent answers it with the result of the first.

        Raises:
            CommandError, OfflineError, TransientError: as `call_idempotent`.
        """
        timeout = min(self.progress_timeout + size / MIN_CHECK_RATE, MAX_COMMIT_TIMEOUT)
        command = self._command(action, timeout)
        delay = FIRST_DELAY
        self.progressed()
        while True:
            try:
                return await self._execute(command)
            except (CommandError, OfflineError, TransientError) as error:
                if _is_too_late(error, command):
                    # The agent never received it, or it would have answered with the result.
                    command = self._command(action, timeout)
                else:
                    await self._wait(error, delay)
                    delay = min(delay * 2, MAX_DELAY)

    def progressed(self) -> None:
        """Restart the progress timeout, because bytes reached the agent or the client."""
        self._progress_at = time.monotonic()

    async def _call_once(self, action: FileAction) -> CommandResponse:
        async with self._slots:
            return await self._execute(self._command(action, CHUNK_TIMEOUT))

    async def _wait(self, error: FlotillaError, delay: float) -> None:
        """Raises: `error`: a repeat cannot succeed, or the progress timeout has passed."""
        passing = not isinstance(error, CommandError) or is_passing(error.failure, error.status)
        if not passing or time.monotonic() - self._progress_at > self.progress_timeout:
            raise error
        REPEATS.inc()
        # Not cryptographic: the jitter only spreads the repeats of several chunks.
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311

    def _command(self, action: FileAction, timeout: float) -> Command:
        command = new_command(self._vps_id, self._actor, timeout=timeout)
        command.file.CopyFrom(action)
        return command

    async def _execute(self, command: Command) -> CommandResponse:
        return await execute(self._context.bus, self._context.signer, command)


def _is_too_late(error: FlotillaError, command: Command) -> bool:
    return (
        isinstance(error, CommandError)
        and error.failure == CommandResponse.FAILURE_FORBIDDEN
        and time.time() * 1000 > command.expires_at_unix_ms
    )


class Upload:
    """Writes a partial upload in chunks, several of them at a time.

    An async context manager; its exit cancels the chunks that are in flight.
    """

    def __init__(self, caller: FileCaller, path: str, upload_id: str, offset: int) -> None:
        self._caller = caller
        self._path = path
        self._upload_id = upload_id
        self._offset = offset
        self._buffer = bytearray()
        self._in_flight: deque[asyncio.Task[int]] = deque()
        self._received = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for chunk in self._in_flight:
            chunk.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)

    @property
    def next_offset(self) -> int:
        """Offset in the file of the next byte to write."""
        return self._offset + len(self._buffer)

    async def write(self, data: bytes) -> None:
        """Write bytes of any number; return when there is room for more.

        Raises:
            CommandError, OfflineError, TransientError.
        """
        self._buffer += data
        while len(self._buffer) >= CHUNK_SIZE:
            chunk = bytes(self._buffer[:CHUNK_SIZE])
            del self._buffer[:CHUNK_SIZE]
            await self._send(chunk)

    async def flush(self) -> int:
        """Wait until every byte has arrived; return how many bytes of the file the agent has.

        Raises:
            CommandError, OfflineError, TransientError.
        """
        if self._buffer or not (self._in_flight or self._received):
            chunk = bytes(self._buffer)
            self._buffer.clear()
            await self._send(chunk)
        while self._in_flight:
            await self._await_first()
        return self._received

    async def _send(self, chunk: bytes) -> None:
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            await self._await_first()
        self._caller.progressed()
        self._in_flight.append(asyncio.create_task(self._write_chunk(self._offset, chunk)))
        self._offset += len(chunk)

    async def _await_first(self) -> None:
        # It stays in the queue until it is done, so that `__aexit__` can cancel it.
        received = await self._in_flight[0]
        _ = self._in_flight.popleft()
        self._received = max(self._received, received)

    async def _write_chunk(self, offset: int, chunk: bytes) -> int:
        action = FileAction(
            operation=FileAction.OPERATION_WRITE,
            path=self._path,
            upload_id=self._upload_id,
            offset=offset,
            data=chunk,
        )
        started = time.monotonic()
        while (received := (await self._caller.call_idempotent(action)).received_bytes) < offset:
            # An earlier chunk was lost and is being repeated; the agent drops chunks after a gap.
            if time.monotonic() - started > self._caller.progress_timeout:
                raise TransientError("chunks before this one do not arrive")
            await asyncio.sleep(MAX_DELAY)
        BYTES.labels("up").inc(len(chunk))
        return received


async def head(caller: FileCaller, path: str) -> FileChunk:
    """Read the size, the version and the snapshot of a file.

    Raises:
        CommandError, OfflineError, TransientError.
    """
    return (await caller.call(_read(path, 0, 0))).chunk


async def download(
    caller: FileCaller, path: str, *, start: int, end: int, first: FileChunk
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes from `start` up to `end`, all of one version; read a few chunks ahead.

    The version is that of `first`, the answer of `head`. A file that has only grown since then is
    read as it was.

    Raises:
        ChangedError: the file was changed, and that version cannot be read any more.
        CommandError, OfflineError, TransientError.
    """
    in_flight: deque[asyncio.Task[CommandResponse]] = deque()
    requested = start
    try:
        while start < end:
            while requested < end and len(in_flight) < MAX_IN_FLIGHT:
                action = _read(path, requested, min(CHUNK_SIZE, end - requested))
                action.snapshot = first.snapshot
                in_flight.append(asyncio.create_task(caller.call_idempotent(action)))
                requested += action.length
            chunk = (await in_flight[0]).chunk
            _ = in_flight.popleft()
            if chunk.version != first.version or len(chunk.data) != min(CHUNK_SIZE, end - start):
                raise ChangedError(f"{path} changed during the download")
            BYTES.labels("down").inc(len(chunk.data))
            start += len(chunk.data)
            yield chunk.data
            # The time that the client took must not count against the agent.
            caller.progressed()
    finally:
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)


async def commit(
    caller: FileCaller,
    path: str,
    upload_id: str,
    size: int,
    *,
    sha256: bytes = b"",
    version: str = "",
    overwrite: bool = False,
) -> FileEntry:
    """Move a complete partial upload to its path.

    Raises:
        CommandError, OfflineError, TransientError.
    """
    action = FileAction(
        operation=FileAction.OPERATION_COMMIT,
        path=path,
        upload_id=upload_id,
        size=size,
        sha256=sha256,
        version=version,
        overwrite=overwrite,
    )
    return (await caller.call_exactly_once(action, size)).file


def _read(path: str, offset: int, length: int) -> FileAction:
    return FileAction(operation=FileAction.OPERATION_READ, path=path, offset=offset, length=length)
