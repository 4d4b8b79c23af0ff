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

from agent.errors import LedgerDamagedError, LedgerError
from agent.execute.failure import forbidden
from agent.execute.ledger import Ledger, Row
from agent.seldom import Seldom
from flotilla.v1.command_pb2 import CommandResponse

T = TypeVar("T")

log = logging.getLogger(__name__)

RECENT_LIMIT = 1_000  # commands remembered in memory
RECENT_BYTES = 256 * 1024  # of their results
LOG_PERIOD = 60.0  # seconds
FORGOTTEN = "it was executed before; its result is not kept any more"


@dataclasses.dataclass(slots=True)
class Recent:
    row: Row
    lasting: bool
    response: CommandResponse | None = None
    size: int = 0


class Executed:
    """What was executed, so that nothing is executed twice, whatever is delivered twice.

    What changes the host is on the disk before it begins. What only looks is remembered in
    memory, as is the other while the disk takes nothing: a host with a full disk is one that
    somebody has to get into.
    """

    def __init__(self, path: Path, now: Callable[[], int]) -> None:
        self._path = path
        self._now = now
        self._ledger: Ledger | None = None
        self._thread = ThreadPoolExecutor(1, "executed")
        self._recent: collections.OrderedDict[str, Recent] = collections.OrderedDict()
        self._recent_bytes = 0
        self._floor = 0
        self._may_log = Seldom(LOG_PERIOD)

    async def find(self, row: Row) -> CommandResponse | None:
        """What came of it, when it was executed before.

        Raises:
            CommandFailedError: another command had this id, or it may have been executed and
                forgotten.
        """
        if recent := self._recent.get(row.id):
            _check_same(recent.row.digest, row)
            if recent.response or not recent.lasting:
                # A look whose answer was too large to keep is taken once more.
                return recent.response
        known = await self._ask(lambda ledger: ledger.find(row.id))
        if known:
            _check_same(known.digest, row)
            return _unpacked(known.result)
        if recent:
            return _failed(FORGOTTEN)
        oldest = max(self._floor, self._ledger.oldest if self._ledger else 0)
        if row.not_before < oldest:
            raise forbidden(
                "the command is older than what the agent remembers of those it executed;"
                " has the server's clock been set back?"
            )
        return None

    async def begin(self, row: Row, *, lasting: bool, synced: bool = True) -> None:
        """From now on it counts as executed."""
        self._remember(Recent(row, lasting))
        if not lasting:
            return
        rows = [recent.row for recent in self._recent.values() if recent.lasting]
        if await self._tell(lambda ledger: ledger.begin(rows, synced=synced)):
            for written in rows:
                self._forget(written.id)

    async def end(self, row: Row, response: CommandResponse) -> None:
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
            packed = _packed(response)
            await self._tell(lambda ledger: ledger.end(row.id, packed))

    async def left(self) -> list[str]:
        """Those that a process before this one began and did not live to end; no longer after."""
        if not self._path.exists():
            return []
        lost = _packed(_failed("the agent ended while this ran; how far it came is not known"))
        return await self._ask(lambda ledger: ledger.give_up(lost)) or []

    async def close(self) -> None:
        """Let go of the file; when it is asked again, it is taken up again."""
        thread, self._thread = self._thread, ThreadPoolExecutor(1, "executed")
        await asyncio.get_running_loop().run_in_executor(thread, self._shut)
        thread.shutdown(wait=False)

    async def _tell(self, order: Callable[[Ledger], None]) -> bool:
        def obey(ledger: Ledger) -> bool:
            order(ledger)
            return True

        return await self._ask(obey) or False

    async def _ask(self, question: Callable[[Ledger], T]) -> T | None:
        """None when the disk fails."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._answer, question)
        except (LedgerError, LedgerDamagedError) as error:
            if self._may_log():
                log.error("%s; what is executed is remembered in memory alone", error)  # noqa: TRY400  # no bug here
            return None

    # In the thread, where one comes after the other:

    def _answer(self, question: Callable[[Ledger], T]) -> T:
        try:
            if self._ledger is None:
                self._ledger = self._open()
            return question(self._ledger)
        except LedgerDamagedError:
            self._shut()
            raise
        except LedgerError:
            if self._ledger is None and not self._floor:
                # What a process before this one executed is not known.
                self._floor = self._now()
            raise

    def _shut(self) -> None:
        ledger, self._ledger = self._ledger, None
        if ledger:
            ledger.close()

    def _open(self) -> Ledger:
        try:
            return Ledger(self._path, self._floor)
        except LedgerDamagedError as error:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            log.error("%s; kept as %s, commands from before now are refused", error, aside.name)  # noqa: TRY400  # no bug here
            try:
                for ending in ("-wal", "-journal"):
                    self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
                self._path.replace(aside)
            except OSError as failed:
                raise LedgerError(f"{self._path}: {failed.strerror}") from None
            return Ledger(self._path, self._now())

    def _remember(self, recent: Recent) -> None:
        self._recent[recent.row.id] = recent
        while len(self._recent) > RECENT_LIMIT:
            oldest = next(iter(self._recent.values()))
            self._forget(oldest.row.id)
            if oldest.lasting:
                self._floor = max(self._floor, oldest.row.not_before + 1)

    def _forget(self, name: str) -> None:
        if recent := self._recent.pop(name, None):
            self._recent_bytes -= recent.size


def _check_same(digest: bytes, row: Row) -> None:
    if digest != row.digest:
        raise forbidden("another command had this id before")


def _failed(reason: str) -> CommandResponse:
    return CommandResponse(
        status=CommandResponse.STATUS_FAILED,
        failure=CommandResponse.FAILURE_UNAVAILABLE,
        reason=reason,
    )


def _packed(response: CommandResponse) -> bytes:
    return zlib.compress(response.SerializeToString(), 1)


def _unpacked(result: bytes | None) -> CommandResponse:
    try:
        return CommandResponse.FromString(zlib.decompress(result or b""))
    except (zlib.error, DecodeError):
        return _failed(FORGOTTEN)
