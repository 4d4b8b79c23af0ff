import asyncio
import collections
import dataclasses
import logging
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import DecodeError

from agent.base.errors import StorageDamagedError, StorageError
from agent.base.log_throttle import LogThrottle
from agent.base.sqlite_file import set_aside
from agent.commands.command_history_db import CommandHistoryDatabase, Row
from agent.commands.errors import forbidden
from flotilla.v1.command_pb2 import CommandResponse

T = TypeVar("T")

log = logging.getLogger(__name__)

RECENT_LIMIT = 1_000  # commands remembered in memory
RECENT_BYTES = 256 * 1024  # of their results
LOG_PERIOD = 60.0  # seconds
RESULT_REMOVED = "This command was executed before, but the agent no longer stores its result."
INTERRUPTED = (
    "The agent stopped while this command ran, so it is not known how far the command came."
    " Check the server before you run it again."
)
TOO_OLD = (
    "This command is older than those that the agent still remembers, so it may have been executed"
    " before. Send it as a new command. If that fails too, check the clocks of the Flotilla"
    " services."
)
USED_ID = "Another command was executed under this id before. Send this command with a new id."


@dataclasses.dataclass(slots=True)
class Recent:
    """A command that is remembered in memory."""

    row: Row
    persistent: bool
    response: CommandResponse | None = None
    size: int = 0


class CommandHistory:
    """Commands that were executed, so that a command that arrives twice is executed once.

    A command that changes the host is stored on disk before it begins. A command that only reads
    is remembered in memory. While the disk is full or broken, all commands are remembered in
    memory, so that the server can still be repaired through the console.
    """

    def __init__(self, path: Path, now: Callable[[], int]) -> None:
        self._path = path
        self._now = now
        self._database: CommandHistoryDatabase | None = None
        self._thread = ThreadPoolExecutor(1, "history")
        self._recent: collections.OrderedDict[str, Recent] = collections.OrderedDict()
        self._recent_bytes = 0
        self._floor = 0
        self._may_log = LogThrottle(LOG_PERIOD)

    async def find(self, row: Row) -> CommandResponse | None:
        """Return the result of the command if it was executed before.

        Raises:
            CommandFailedError: another command had this id, or the command is so old that it may
                have been executed and removed from the history.
        """
        if recent := self._recent.get(row.id):
            _check_same(recent.row.digest, row)
            if recent.response or not recent.persistent:
                # None here means that the result was too large to keep. The command only reads,
                # so it can be executed again.
                return recent.response
        known = await self._query(lambda database: database.find(row.id))
        if known:
            _check_same(known.digest, row)
            return _unpack(known.result)
        if recent:
            return _failed(RESULT_REMOVED)
        oldest = max(self._floor, self._database.oldest if self._database else 0)
        if row.not_before < oldest:
            raise forbidden(TOO_OLD)
        return None

    async def begin(self, row: Row, *, persistent: bool, synced: bool = True) -> None:
        """Record that the command is executed; call this before it has any effect."""
        self._remember(Recent(row, persistent))
        if not persistent:
            return
        rows = [recent.row for recent in self._recent.values() if recent.persistent]
        if await self._update(lambda database: database.begin(rows, synced=synced)):
            for written in rows:
                self._forget(written.id)

    async def end(self, row: Row, response: CommandResponse) -> None:
        """Record the result of a command."""
        if recent := self._recent.get(row.id):
            size = response.ByteSize()
            if size <= RECENT_BYTES:
                recent.response, recent.size = response, size
                self._recent_bytes += size
            for older in self._recent.values():
                if self._recent_bytes <= RECENT_BYTES:
                    break
                self._recent_bytes -= older.size
                older.response, older.size = None, 0
        else:
            packed = _pack(response)
            await self._update(lambda database: database.end(row.id, packed))

    async def end_unfinished(self) -> list[str]:
        """Mark the commands that ran when the last agent process ended as failed; return their ids."""
        if not self._path.exists():
            return []
        result = _pack(_failed(INTERRUPTED))
        return await self._query(lambda database: database.end_unfinished(result)) or []

    async def close(self) -> None:
        """Close the file; the next call opens it again."""
        thread, self._thread = self._thread, ThreadPoolExecutor(1, "history")
        await asyncio.get_running_loop().run_in_executor(thread, self._close_database)
        thread.shutdown(wait=False)

    async def _update(self, update: Callable[[CommandHistoryDatabase], None]) -> bool:
        """Return False when the disk fails."""

        def work(database: CommandHistoryDatabase) -> bool:
            update(database)
            return True

        return await self._query(work) or False

    async def _query(self, query: Callable[[CommandHistoryDatabase], T]) -> T | None:
        """Return None when the disk fails."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._run, query)
        except (StorageError, StorageDamagedError) as error:
            if self._may_log():
                log.error(  # noqa: TRY400  # no bug here
                    "%s; until this is fixed, the command history is kept in memory only", error
                )
            return None

    # Only the thread calls the next three methods, so the calls do not overlap.

    def _run(self, query: Callable[[CommandHistoryDatabase], T]) -> T:
        try:
            if self._database is None:
                self._database = self._open()
            return query(self._database)
        except StorageDamagedError:
            self._close_database()
            raise
        except StorageError:
            if self._database is None and not self._floor:
                # It is unknown which commands an earlier process executed, so refuse them all.
                self._floor = self._now()
            raise

    def _close_database(self) -> None:
        database, self._database = self._database, None
        if database:
            database.close()

    def _open(self) -> CommandHistoryDatabase:
        try:
            return CommandHistoryDatabase(self._path, self._floor)
        except StorageDamagedError as error:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            log.error(  # noqa: TRY400  # no bug here
                "%s; the file is renamed to %s, and commands from before now are refused",
                error,
                aside.name,
            )
            set_aside(self._path, aside)
            return CommandHistoryDatabase(self._path, self._now())

    def _remember(self, recent: Recent) -> None:
        self._recent[recent.row.id] = recent
        while len(self._recent) > RECENT_LIMIT:
            oldest = next(iter(self._recent.values()))
            self._forget(oldest.row.id)
            if oldest.persistent:
                self._floor = max(self._floor, oldest.row.not_before + 1)

    def _forget(self, name: str) -> None:
        if recent := self._recent.pop(name, None):
            self._recent_bytes -= recent.size


def _check_same(digest: bytes, row: Row) -> None:
    if digest != row.digest:
        raise forbidden(USED_ID)


def _failed(reason: str) -> CommandResponse:
    return CommandResponse(
        status=CommandResponse.STATUS_FAILED,
        failure=CommandResponse.FAILURE_UNAVAILABLE,
        reason=reason,
    )


def _pack(response: CommandResponse) -> bytes:
    return zlib.compress(response.SerializeToString(), 1)


def _unpack(result: bytes | None) -> CommandResponse:
    try:
        return CommandResponse.FromString(zlib.decompress(result or b""))
    except (zlib.error, DecodeError):
        return _failed(RESULT_REMOVED)
