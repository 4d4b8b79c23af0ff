"""The audit log: actions that were done or refused. Each event is a log line and an entry.

`record` never fails and never delays the recorded action. The log line is always written. Entries
that cannot be stored are counted. `AuditLog.require` stores the entry of a privileged action before
the action is done, and fails if this is not possible.
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
from services.kit.bus import subjects
from services.kit.bus.connection import Bus
from services.kit.errors import TransientError

audit = structlog.get_logger("audit")
log = structlog.get_logger(__name__)

MAX_TEXT = 500  # characters of each field
STORE_TIMEOUT = 2.0  # seconds
QUEUE_LIMIT = 1_000  # entries that wait to be stored
QUEUE_SHARE = 200  # of these, entries about one actor, so that no actor displaces the others
# Refusals stored per minute and actor; see `_limit_key`. If somebody is refused again and again, this
# fills only the log, which is rotated, and not the database.
REFUSALS_STORED = 60
ANONYMOUS = "anonymous"  # the actor without a login
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
KIND = re.compile(r"[a-z][a-z-]{0,30}")

UNSTORED = prometheus_client.Counter(
    "flotilla_audit_unstored_total",
    "Audit events that are only in the log, by reason: bus, queue (full) or flood (of refusals)",
    ["reason"],
)
BLOCKED = prometheus_client.Counter(
    "flotilla_audit_blocked_total",
    "Privileged actions that were not done because their audit entry could not be stored",
)


class _RefusalLimit:
    """Counts the refusals of the current minute by key."""

    def __init__(self) -> None:
        self._minute = 0
        self._refusals: Counter[str] = Counter()

    def is_exceeded(self, key: str) -> bool:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute = minute
            self._refusals.clear()
        self._refusals[key] += 1
        return self._refusals[key] > REFUSALS_STORED


_refusal_limit = _RefusalLimit()


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
    """Log an audit event and store its entry.

    `actor` is "user:<id>", "agent:<vps>", "console" or "anonymous"; `action` is "<kind>.<verb>".
    """
    texts = {"object": object, "detail": detail, "reason": reason, "peer": peer}
    entry = _log_event(actor, action, allowed=allowed, **texts)
    if entry is not None:
        await _store(bus, entry)


class AuditLog:
    """`record` for callers that cannot wait for the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._queue: asyncio.Queue[AuditRecorded] = asyncio.Queue(QUEUE_LIMIT)
        self._waiting: Counter[str] = Counter()  # queued entries by actor

    def record(
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
        """Log an audit event and queue its entry."""
        texts = {"object": object, "detail": detail, "reason": reason, "peer": peer}
        entry = _log_event(actor, action, allowed=allowed, **texts)
        if entry is None:
            return
        if self._waiting[entry.actor] >= QUEUE_SHARE or self._queue.full():
            UNSTORED.labels("queue").inc()
            return
        self._waiting[entry.actor] += 1
        self._queue.put_nowait(entry)

    async def require(
        self,
        *,
        actor: str,
        action: str,
        object: str = "",  # noqa: A002  the field's name
        peer: str = "",
        detail: str = "",
    ) -> None:
        """Store the entry of an action that is about to be done.

        Raises:
            TransientError: the entry could not be stored, so the action must not be done.
        """
        texts = {"object": object, "detail": detail, "reason": "", "peer": peer}
        entry = _log_event(actor, action, allowed=True, **texts)
        assert entry is not None  # only refusals are limited
        try:
            # Without a connection, the client would send the entry later, although the action is
            # not done.
            self._bus.require()
            await _publish(self._bus, entry)
        except TransientError:
            BLOCKED.inc()
            raise

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Store queued entries while inside; at the end, store the rest within a time limit."""
        storing = asyncio.create_task(self._store_queued(), name="audit")
        try:
            yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(STORE_TIMEOUT):
                    await self._queue.join()
            storing.cancel()
            await asyncio.gather(storing, return_exceptions=True)

    async def _store_queued(self) -> None:
        while True:
            entry = await self._queue.get()
            try:
                await _store(self._bus, entry)
            finally:
                self._queue.task_done()
                self._waiting[entry.actor] -= 1
                if not self._waiting[entry.actor]:
                    del self._waiting[entry.actor]


def _log_event(actor: str, action: str, *, allowed: bool, **texts: str) -> AuditRecorded | None:
    """Write the log line and return the entry; None if the actor was refused too often."""
    fields = {
        name: clean(text) for name, text in {"actor": actor, "action": action, **texts}.items()
    }
    write = audit.info if allowed else audit.warning
    write("allowed" if allowed else "refused", **fields)
    if not allowed and _refusal_limit.is_exceeded(_limit_key(fields)):
        UNSTORED.labels("flood").inc()
        return None
    now = time.time_ns() // 1_000_000
    return AuditRecorded(id=str(uuid4()), time_unix_ms=now, allowed=allowed, **fields)


def _limit_key(fields: dict[str, str]) -> str:
    """Return the key of the limit that applies to this refusal.

    All clients without a login are the same actor. One of them must not prevent entries about others,
    so their limit is per action, object and reason. Such a refusal has an object only if the object is
    an account.
    """
    if fields["actor"] != ANONYMOUS:
        return fields["actor"]
    return " ".join(fields[name] for name in ("actor", "action", "object", "reason"))


async def _store(bus: Bus, entry: AuditRecorded) -> None:
    try:
        await _publish(bus, entry)
    except TransientError as error:
        UNSTORED.labels("bus").inc()
        log.warning("audit_not_stored", id=entry.id, action=entry.action, error=str(error))


async def _publish(bus: Bus, entry: AuditRecorded) -> None:
    """Raises: TransientError: JetStream did not store the entry in time."""
    kind = entry.action.partition(".")[0]
    subject = subjects.audit(kind if KIND.fullmatch(kind) else "other")
    try:
        async with asyncio.timeout(STORE_TIMEOUT):
            await bus.store(subject, entry, msg_id=entry.id)
    except TimeoutError as error:
        raise TransientError(
            f"JetStream did not acknowledge the audit entry within {STORE_TIMEOUT:.0f} s."
        ) from error


def clean(text: str) -> str:
    """Return text that a database and a terminal accept. Paths and reasons come from outside."""
    return escaped(text.encode(errors="replace").decode())[:MAX_TEXT]


def escaped(text: str) -> str:
    """Replace each control character and line break with its escape, as Python writes it."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
