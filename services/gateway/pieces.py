"""Files in pieces, to and from an agent whose stream may break meanwhile."""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator
from typing import Self

from prometheus_client import Counter

from flotilla.v1.command_pb2 import Command, CommandResponse, FileAction, FileChunk, FileEntry
from services.gateway.runtime import Runtime
from services.kit.commands import CommandError, OfflineError, execute, new_command
from services.kit.errors import FlotillaError, TransientError

PIECE = 256 * 1024  # bytes; what an agent takes and gives at a time
IN_FLIGHT = 4  # pieces of one transfer
TIMEOUT = 10.0  # seconds for one piece
PATIENCE = 60.0  # seconds without a piece getting through
BUSY_PATIENCE = 5.0  # seconds
DELAY = 0.1  # seconds before the first repeat
MOST_DELAY = 2.0  # seconds
SLOWEST = 10e6  # bytes/s at which an agent reads what it has, to check it
LONGEST = 3600.0  # seconds

BYTES = Counter("flotilla_transfer_bytes_total", "Of files, by way of the gateway", ["direction"])
REPEATS = Counter("flotilla_transfer_repeats_total", "Pieces sent or asked for again")


class ChangedError(FlotillaError):
    """The file is not what it was when the transfer began."""


class Carrier:
    """Has one agent do the parts of one transfer, for as long as some get through."""

    def __init__(self, runtime: Runtime, vps_id: str, actor: str) -> None:
        self._runtime = runtime
        self._vps_id = vps_id
        self._actor = actor
        self._lanes = runtime.transfers.lanes(vps_id)
        self._moved_at = time.monotonic()

    async def once(self, action: FileAction) -> CommandResponse:
        """Raises: CommandError, OfflineError, TransientError: at once."""
        async with self._lanes:
            return await self._execute(self._command(action, TIMEOUT))

    async def ask(self, action: FileAction) -> CommandResponse:
        """As `once`, where an agent that is busy is given a moment.

        Raises:
            CommandError, OfflineError, TransientError.
        """
        until = time.monotonic() + BUSY_PATIENCE
        while True:
            try:
                return await self.once(action)
            except CommandError as error:
                is_busy = error.failure == CommandResponse.FAILURE_BUSY
                if not is_busy or time.monotonic() > until:
                    raise
            await asyncio.sleep(DELAY)

    async def carry(self, action: FileAction) -> CommandResponse:
        """What can be done twice: done again after the stream broke.

        Raises:
            CommandError, OfflineError, TransientError: nothing got through for a while.
        """
        delay = DELAY
        while True:
            try:
                response = await self.once(action)
            except (CommandError, OfflineError, TransientError) as error:
                await self._wait(error, delay)
                delay = min(delay * 2, MOST_DELAY)
            else:
                self.moved()
                return response

    async def finish(self, action: FileAction, size: int) -> CommandResponse:
        """What must not be done twice: asked again, the agent tells what came of it.

        Raises:
            CommandError, OfflineError, TransientError: as `carry`.
        """
        timeout = min(PATIENCE + size / SLOWEST, LONGEST)
        command = self._command(action, timeout)
        delay = DELAY
        self.moved()
        while True:
            try:
                return await self._execute(command)
            except (CommandError, OfflineError, TransientError) as error:
                if _is_too_late(error, command):
                    # It never arrived, or the agent would have known its result.
                    command = self._command(action, timeout)
                else:
                    await self._wait(error, delay)
                    delay = min(delay * 2, MOST_DELAY)

    def moved(self) -> None:
        """Something got through, here or at the client."""
        self._moved_at = time.monotonic()

    async def _wait(self, error: FlotillaError, delay: float) -> None:
        """Raises: `error`: a repeat would change nothing, or there were enough."""
        passing = not isinstance(error, CommandError) or is_passing(error.failure, error.status)
        if not passing or time.monotonic() - self._moved_at > PATIENCE:
            raise error
        REPEATS.inc()
        # Not cryptographic: only so that pieces do not come back all at once.
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311

    def _command(self, action: FileAction, timeout: float) -> Command:
        command = new_command(self._vps_id, self._actor, timeout=timeout)
        command.file.CopyFrom(action)
        return command

    async def _execute(self, command: Command) -> CommandResponse:
        return await execute(self._runtime.bus, self._runtime.signer, command)


def is_passing(
    failure: CommandResponse.Failure.ValueType, status: CommandResponse.Status.ValueType
) -> bool:
    """Whether the same command, asked again, may be answered with what came of it."""
    # The edge's own conflict is that it still waits for the answer to the same command.
    asked_already = (
        failure == CommandResponse.FAILURE_CONFLICT and status == CommandResponse.STATUS_REFUSED
    )
    return asked_already or failure == CommandResponse.FAILURE_BUSY


def _is_too_late(error: FlotillaError, command: Command) -> bool:
    return (
        isinstance(error, CommandError)
        and error.failure == CommandResponse.FAILURE_FORBIDDEN
        and time.time() * 1000 > command.expires_at_unix_ms
    )


class Upload:
    """Takes bytes of any number; a few pieces are on their way at a time.

    Used as a context; what is on its way at its end is given up.
    """

    def __init__(self, carrier: Carrier, path: str, upload_id: str, offset: int) -> None:
        self._carrier = carrier
        self._path = path
        self._upload_id = upload_id
        self._offset = offset
        self._buffer = bytearray()
        self._pieces: deque[asyncio.Task[int]] = deque()
        self._received = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for piece in self._pieces:
            piece.cancel()
        await asyncio.gather(*self._pieces, return_exceptions=True)

    @property
    def taken(self) -> int:
        """Where the next byte goes."""
        return self._offset + len(self._buffer)

    async def put(self, data: bytes) -> None:
        """Return when there is room for more.

        Raises:
            CommandError, OfflineError, TransientError.
        """
        self._buffer += data
        while len(self._buffer) >= PIECE:
            piece = bytes(self._buffer[:PIECE])
            del self._buffer[:PIECE]
            await self._send(piece)

    async def flush(self) -> int:
        """How many bytes the agent has, once all have arrived.

        Raises:
            CommandError, OfflineError, TransientError.
        """
        if self._buffer or not (self._pieces or self._received):
            piece = bytes(self._buffer)
            self._buffer.clear()
            await self._send(piece)
        while self._pieces:
            await self._await_first()
        return self._received

    async def _send(self, piece: bytes) -> None:
        if len(self._pieces) >= IN_FLIGHT:
            await self._await_first()
        self._carrier.moved()
        self._pieces.append(asyncio.create_task(self._write(self._offset, piece)))
        self._offset += len(piece)

    async def _await_first(self) -> None:
        # Left where it is until it is done: the end of the context cancels it there.
        received = await self._pieces[0]
        _ = self._pieces.popleft()
        self._received = max(self._received, received)

    async def _write(self, offset: int, piece: bytes) -> int:
        action = FileAction(
            operation=FileAction.OPERATION_WRITE,
            path=self._path,
            upload_id=self._upload_id,
            offset=offset,
            data=piece,
        )
        started = time.monotonic()
        while (received := (await self._carrier.carry(action)).received_bytes) < offset:
            # Those before it are still to be sent again.
            if time.monotonic() - started > PATIENCE:
                raise TransientError("pieces before this one do not arrive")
            await asyncio.sleep(MOST_DELAY)
        BYTES.labels("up").inc(len(piece))
        return received


async def head(carrier: Carrier, path: str) -> FileChunk:
    """A file's size and version.

    Raises:
        CommandError, OfflineError, TransientError.
    """
    return (await carrier.ask(_read(path, 0, 0))).chunk


async def download(
    carrier: Carrier, path: str, start: int, end: int, version: str
) -> AsyncGenerator[bytes, None]:
    """Bytes from `start` up to `end`, all of one version; a few pieces ahead of who takes them.

    Raises:
        ChangedError: they cannot be had any more.
        CommandError, OfflineError, TransientError.
    """
    pieces: deque[asyncio.Task[CommandResponse]] = deque()
    asked = start
    try:
        while start < end:
            while asked < end and len(pieces) < IN_FLIGHT:
                action = _read(path, asked, min(PIECE, end - asked))
                pieces.append(asyncio.create_task(carrier.carry(action)))
                asked += action.length
            chunk = (await pieces[0]).chunk
            _ = pieces.popleft()
            if chunk.version != version or len(chunk.data) != min(PIECE, end - start):
                raise ChangedError(f"{path} was changed meanwhile")
            BYTES.labels("down").inc(len(chunk.data))
            start += len(chunk.data)
            yield chunk.data
            # However long that took the client.
            carrier.moved()
    finally:
        for piece in pieces:
            piece.cancel()
        await asyncio.gather(*pieces, return_exceptions=True)


async def commit(
    carrier: Carrier,
    path: str,
    upload_id: str,
    size: int,
    *,
    sha256: bytes = b"",
    version: str = "",
    overwrite: bool = False,
) -> FileEntry:
    """Put what was uploaded in its place.

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
    return (await carrier.finish(action, size)).file


def _read(path: str, offset: int, length: int) -> FileAction:
    return FileAction(operation=FileAction.OPERATION_READ, path=path, offset=offset, length=length)
