"""Writer of the output and states of a run. It stores several changes per transaction."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter

from flotilla.v1.bus_pb2 import RunOutputStored
from services.gateway.context import Context
from services.gateway.runs import follow_store
from services.gateway.runs.follow_store import Begin, Change, End, Written
from services.gateway.runs.output import Text
from services.kit.backoff import backoff
from services.kit.bus import subjects
from services.kit.database import pool as database
from services.kit.errors import FlotillaError, TransientError

log = structlog.get_logger(__name__)

# The first change is written at once; later ones are collected for `PAUSE` seconds.
PAUSE = 0.2  # seconds
LONGEST_RETRY = 5.0  # seconds
CLOSE_TIMEOUT = 2.0  # seconds
MAX_WAITING = 2 * 1024 * 1024  # characters of one run's output that may wait for the database
MAX_LINE = 64 * 1024  # characters; shorter texts are joined up to this length

DROPPED = Counter(
    "flotilla_run_output_dropped_bytes_total", "Output of scripts beyond the limit of their run"
)


class TakenOverError(FlotillaError):
    """Another gateway follows the run."""


class Journal:
    """Queue of changes to store. `append` waits while too much output waits for the database.

    `writes` limits the concurrent transactions of all journals of this gateway.
    """

    def __init__(
        self, context: Context, *, run_id: UUID, follower: UUID, writes: asyncio.Semaphore
    ) -> None:
        self._context = context
        self._run_id = run_id
        self._follower = follower
        self._writes = writes
        self._changes: dict[UUID, Change] = {}
        self._waiting: dict[UUID, asyncio.Future[Written]] = {}
        self._unwritten: list[Change] = []
        self._size = 0  # characters, including the changes that are being written
        self._pending = asyncio.Event()
        self._room = asyncio.Event()

    async def begin(self, vps_id: UUID, *, request: bytes, patience: float) -> bool:
        """Store that a server is running; return False if it was cancelled or removed before."""
        begin = Begin(request, timedelta(seconds=patience))
        written = await self._stored(vps_id, begin=begin)
        return vps_id in written.begun

    async def append(self, vps_id: UUID, texts: Sequence[Text], *, truncated: bool) -> None:
        while self._size > MAX_WAITING:
            self._room.clear()
            await self._room.wait()
        change = self._change(vps_id)
        change.truncated |= truncated
        for text in texts:
            self._size += len(text.data)
            last = change.texts[-1] if change.texts else None
            joins = last is not None and last.stream == text.stream
            if last is not None and joins and len(last.data) + len(text.data) <= MAX_LINE:
                change.texts[-1] = Text(text.stream, last.data + text.data, text.read)
            else:
                change.texts.append(text)
        self._pending.set()

    async def end(self, vps_id: UUID, end: End) -> bool:
        """Store how a server ended; return False if the server had ended or was removed before."""
        written = await self._stored(vps_id, end=end)
        return vps_id in written.ended

    async def write(self) -> None:
        """Write changes until cancelled.

        Raises:
            TakenOverError: another gateway follows the run.
        """
        try:
            while True:
                await self._pending.wait()
                await self._flush()
                await asyncio.sleep(PAUSE)
        finally:
            # The gateway is stopping. Output that is not stored now is read again by the gateway
            # that takes over.
            with suppress(TransientError, TakenOverError, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    for changes in (self._unwritten, list(self._changes.values())):
                        if changes:
                            await self._write(changes)

    async def _flush(self) -> None:
        self._pending.clear()
        self._unwritten, self._changes = list(self._changes.values()), {}
        waiting, self._waiting = self._waiting, {}
        size = self._size
        try:
            written = await self._write_until_stored(self._unwritten)
        except BaseException:
            for future in waiting.values():
                future.cancel()
            raise
        self._unwritten = []
        self._size -= size
        self._room.set()
        for future in waiting.values():
            if not future.done():
                future.set_result(written)

    async def _write_until_stored(self, changes: list[Change]) -> Written:
        pauses = backoff(1.0, LONGEST_RETRY)
        while True:
            try:
                return await self._write(changes)
            except TransientError as error:
                log.warning("run_not_written", run_id=str(self._run_id), error=str(error))
            await asyncio.sleep(next(pauses))

    async def _write(self, changes: list[Change]) -> Written:
        """Write changes in one transaction.

        Raises:
            TransientError: the database is not reachable.
            TakenOverError: another gateway follows the run.
        """
        async with self._writes, database.transaction(self._context.pool) as connection:
            written = await follow_store.write(
                connection,
                run_id=self._run_id,
                follower=self._follower,
                changes=changes,
                most=self._context.run_limits.output,
            )
        if written is None:
            raise TakenOverError(f"run {self._run_id} has another follower")
        DROPPED.inc(written.dropped)
        await announce(self._context, self._run_id, written.next_position)
        return written

    async def _stored(
        self, vps_id: UUID, *, begin: Begin | None = None, end: End | None = None
    ) -> Written:
        change = self._change(vps_id)
        change.begin, change.end = begin, end
        future: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting[vps_id] = future
        self._pending.set()
        return await future

    def _change(self, vps_id: UUID) -> Change:
        return self._changes.setdefault(vps_id, Change(vps_id))


async def announce(context: Context, run_id: UUID, next_position: int) -> None:
    """Notify viewers of the run that it has lines up to `next_position`."""
    message = RunOutputStored(run_id=str(run_id), next_offset=next_position)
    # A viewer that misses this notice polls after some seconds.
    with suppress(TransientError):
        await context.bus.publish(subjects.run_output(str(run_id)), message)
