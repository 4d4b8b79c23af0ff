"""The spool, used by the event loop."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from agent.base.errors import StorageDamagedError, StorageError, StorageFullError
from agent.base.log_throttle import LogThrottle
from agent.spool import damage_recovery
from agent.spool.batch import Search
from agent.spool.database import SpoolDatabase
from agent.spool.models import Commit, Committed, Item, Loss, Opened, Quota, Span

T = TypeVar("T")

log = logging.getLogger(__name__)

LOG_PERIOD = 60.0  # seconds


class SpoolThread:
    """The only owner of the spool database, which it uses in a thread of its own.

    A database that fails is closed. `open` opens it again, or replaces it if it is damaged.
    """

    def __init__(self, path: Path, quota: Quota | None = None) -> None:
        self._path = path
        self._quota = quota or Quota()
        self._database: SpoolDatabase | None = None
        self._executor = ThreadPoolExecutor(1, "spool")
        self._losses: list[Loss] = []  # by damage, until the send queue knows them
        self._log_throttle = LogThrottle(LOG_PERIOD)

    @property
    def is_open(self) -> bool:
        return self._database is not None

    async def open(self) -> Opened | None:
        """Open the file or create it. Return its content; None if the disk does not work."""
        try:
            opened = await self._run(self._open)
        except (StorageError, StorageDamagedError) as error:
            self._log_failure(error)
            return None
        self._losses.clear()
        return opened

    def _open(self) -> Opened:
        database, losses = damage_recovery.open_or_replace(self._path, self._quota)
        self._losses += losses
        try:
            opened = Opened(
                epoch=database.epoch,
                sequence=database.claim_sequences(),
                spans=tuple(database.spans()),
                reports=tuple(database.reports()),
                losses=tuple(self._losses),
            )
        except BaseException:
            database.close()
            raise
        self._database = database
        return opened

    async def commit(self, commit: Commit) -> Committed | None:
        """Store the changes. Return None if nothing was stored."""
        committed = await self._ask(lambda database: database.commit(commit))
        if committed and not committed.items_stored:
            self._log_failure("The disk has too little space left")
        return committed

    async def read(self, search: Search) -> list[Item] | None:
        """Return the first items of the search. None if the spool cannot be read."""
        span, admits = search.stored, search.room.admits
        return await self._ask(lambda database: database.read(span, admits)) if span else []

    async def revive(self, before: int) -> list[Span]:
        """Forget that items were accepted before this Unix second. Return their spans."""
        return await self._ask(lambda database: database.revive(before)) or []

    async def close(self) -> None:
        """Close the file for good."""
        await self._close_database()
        self._executor.shutdown(wait=False)

    async def _ask(self, question: Callable[[SpoolDatabase], T]) -> T | None:
        """Return the answer of the database. None if it is closed or fails."""
        database = self._database
        if database is None:
            return None
        try:
            return await self._run(lambda: question(database))
        except StorageFullError as error:
            self._log_failure(error)
        except (StorageError, StorageDamagedError) as error:
            self._log_failure(error)
            if self._database is database:
                await self._close_database()
        return None

    async def _close_database(self) -> None:
        database, self._database = self._database, None
        if database:
            await self._run(database.close)

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    def _log_failure(self, problem: object) -> None:
        if self._log_throttle():
            log.error("The spool stores nothing: %s. Measurements are kept in memory.", problem)
