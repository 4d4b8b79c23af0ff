"""Stream of a run's output lines, from a given offset to the end of the run."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from uuid import UUID

import msgspec
import structlog
from nats.aio.msg import Msg

from services.gateway.accounts.authentication import AuthedRequest, actor_of
from services.gateway.api import ndjson
from services.gateway.context import Context
from services.gateway.runs import store
from services.gateway.runs.schemas import (
    IdleLine,
    OutputLine,
    RunLine,
    RunOutputLine,
    ServerLine,
)
from services.gateway.servers.visibility import visible_to
from services.kit.access import Action
from services.kit.backoff import backoff
from services.kit.bus import subjects
from services.kit.database import pool as database
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)

POLL_INTERVAL = 2.0  # seconds until a viewer reads again if it received no notice of new lines
IDLE = 15.0  # seconds without lines after which an `idle` line keeps the connection alive
RECHECK = 60.0  # seconds between checks that the login session is still valid
PATIENCE = 60.0  # seconds that the database may be unreachable before the stream fails

DEFAULTS = {"exit_code": None, "truncated": False, "reason": "", "problem": None}


class OutputStream:
    """Stream for one viewer. It reads stored lines at its own pace, so it needs no buffer."""

    def __init__(self, request: AuthedRequest, context: Context, run_id: UUID, offset: int) -> None:
        self._request = request
        self._context = context
        self._run_id = run_id
        self._offset = offset
        self._news = asyncio.Event()

    async def read(self) -> AsyncGenerator[bytes, None]:
        with self._context.run_viewers.counted():
            subject = subjects.run_output(str(self._run_id))
            async with self._context.bus.subscribed(subject, self._on_news):
                async for line in self._lines():
                    yield ndjson.encode(line)

    async def _lines(self) -> AsyncGenerator[RunOutputLine, None]:
        checked_at = sent_at = time.monotonic()
        while True:
            self._news.clear()
            found = await self._next()
            if found is None:
                # The run was deleted, or none of its servers belongs to the viewer any more.
                return
            for line in found.items:
                yield of_line(line)
            self._offset = found.next_position
            if found.ended:
                yield RunLine(offset=self._offset, status=found.status)
                return
            now = time.monotonic()
            if found.items:
                sent_at = now
            elif now - sent_at > IDLE:
                sent_at = now
                yield IdleLine(offset=self._offset)
            if now - checked_at > RECHECK:
                checked_at = now
                if not await self._is_logged_in():
                    return
            if len(found.items) < store.LINES_AT_ONCE:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_INTERVAL):
                        await self._news.wait()

    async def _next(self) -> store.Lines | None:
        """Read the next lines; return None if the viewer may see no server of the run.

        Raises:
            TransientError: the database was unreachable for too long.
        """
        until = time.monotonic() + PATIENCE
        for pause in backoff(0.5, POLL_INTERVAL):
            try:
                async with database.transaction(self._context.pool) as connection:
                    return await store.lines(
                        connection,
                        run_id=self._run_id,
                        visibility=visible_to(self._request.user, Action.COMMAND_READ),
                        offset=self._offset,
                    )
            except TransientError as error:
                if time.monotonic() > until:
                    raise
                log.warning("run_output_not_read", run_id=str(self._run_id), error=str(error))
            await asyncio.sleep(pause)
        return None

    async def _is_logged_in(self) -> bool:
        # While the database is unreachable, the session counts as valid.
        with suppress(TransientError):
            return await actor_of(self._context, self._request.auth) == self._request.user
        return True

    async def _on_news(self, _message: Msg) -> None:
        self._news.set()


def of_line(line: store.Line) -> RunOutputLine:
    """Convert a stored line to a line of the API."""
    fields = {"offset": line.position, "server_id": line.vps_id, "time": line.time}
    if line.stream == "status":
        # Version 0.1 did not store fields that had their default value.
        status = {**DEFAULTS, **msgspec.json.decode(line.data), **fields}
        return msgspec.convert(status, ServerLine)
    return msgspec.convert({**fields, "stream": line.stream, "data": line.data}, OutputLine)
