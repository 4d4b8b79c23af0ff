"""Who did what, or was refused it: a line in the log, and an entry that the gateway stores.

Neither ever fails or holds up what is recorded. The log line is always written; what keeps an
entry from the store is counted.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import prometheus_client
import structlog

from flotilla.v1.event_pb2 import AuditRecorded
from services.kit import subjects
from services.kit.bus import Bus
from services.kit.errors import TransientError

audit = structlog.get_logger("audit")
log = structlog.get_logger(__name__)

MAX_TEXT = 500  # characters of each field
STORE_TIMEOUT = 2.0  # seconds
QUEUE_LIMIT = 1_000  # entries on their way to the stream
# Whoever is refused time after time fills the log, which rotates, and not the database.
REFUSALS_STORED = 60  # a minute, of one actor
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
KIND = re.compile(r"[a-z][a-z-]{0,30}")

UNSTORED = prometheus_client.Counter(
    "flotilla_audit_unstored_total", "Audit entries that are in the log alone", ["reason"]
)


class _Flood:
    """Counts refusals of an actor, minute by minute."""

    def __init__(self) -> None:
        self._minute = 0
        self._refusals: Counter[str] = Counter()

    def is_over(self, actor: str) -> bool:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute = minute
            self._refusals.clear()
        self._refusals[actor] += 1
        return self._refusals[actor] > REFUSALS_STORED


_flood = _Flood()


async def record(
    bus: Bus,
    *,
    actor: str,
    action: str,
    object: str,  # noqa: A002  the field's name
    allowed: bool,
    reason: str = "",
    peer: str = "",
    detail: str = "",
) -> None:
    """`actor` is "user:<id>", "agent:<vps>", "console" or "anonymous"; `action` "<kind>.<verb>"."""
    texts = {"object": object, "detail": detail, "reason": reason, "peer": peer}
    entry = _said(actor, action, allowed=allowed, **texts)
    if entry is not None:
        await _store(bus, entry)


class Trail:
    """`record` for those who cannot wait for the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._queue: asyncio.Queue[AuditRecorded] = asyncio.Queue(QUEUE_LIMIT)

    def note(
        self,
        *,
        actor: str,
        action: str,
        object: str = "",  # noqa: A002  the field's name
        allowed: bool,
        reason: str = "",
        peer: str = "",
        detail: str = "",
    ) -> None:
        texts = {"object": object, "detail": detail, "reason": reason, "peer": peer}
        entry = _said(actor, action, allowed=allowed, **texts)
        if entry is None:
            return
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            UNSTORED.labels("queue").inc()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Entries are stored while inside; those that wait at the end are too, within a limit."""
        keeping = asyncio.create_task(self._keep(), name="audit")
        try:
            yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(STORE_TIMEOUT):
                    await self._queue.join()
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            entry = await self._queue.get()
            try:
                await _store(self._bus, entry)
            finally:
                self._queue.task_done()


def _said(actor: str, action: str, *, allowed: bool, **texts: str) -> AuditRecorded | None:
    """The entry, after its log line; None when it is one refusal too many."""
    said = {name: _text(text) for name, text in {"actor": actor, "action": action, **texts}.items()}
    say = audit.info if allowed else audit.warning
    say("allowed" if allowed else "refused", **said)
    if not allowed and _flood.is_over(said["actor"]):
        UNSTORED.labels("flood").inc()
        return None
    now = time.time_ns() // 1_000_000
    return AuditRecorded(id=str(uuid4()), time_unix_ms=now, allowed=allowed, **said)


async def _store(bus: Bus, entry: AuditRecorded) -> None:
    kind = entry.action.partition(".")[0]
    subject = subjects.audit(kind if KIND.fullmatch(kind) else "other")
    try:
        async with asyncio.timeout(STORE_TIMEOUT):
            await bus.store(subject, entry, msg_id=entry.id)
    except (TransientError, TimeoutError) as error:
        UNSTORED.labels("bus").inc()
        log.warning(
            "audit_not_stored",
            id=entry.id,
            action=entry.action,
            error=str(error) or "no word from the stream",
        )


def _text(text: str) -> str:
    """What a database and a terminal can take, since paths and reasons come from anywhere."""
    clean = text.encode(errors="replace").decode()
    return CONTROL.sub("\ufffd", clean)[:MAX_TEXT]
