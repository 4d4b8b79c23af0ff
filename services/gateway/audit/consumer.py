"""Writes audit events to the database."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from nats.aio.msg import Msg

from flotilla.v1.event_pb2 import AuditRecorded
from services.gateway.audit import store
from services.kit.bus import audit
from services.kit.bus import connection as bus
from services.kit.database import pool as database
from services.kit.errors import PoisonError

BATCH = 100  # events in one transaction


class AuditConsumer:
    def __init__(self, pool: database.Pool) -> None:
        self._pool = pool

    async def record(self, messages: Sequence[Msg]) -> None:
        """Store the events of one batch in one transaction.

        Raises:
            TransientError: the database is away.
            PoisonError: an event cannot be read.
        """
        entries = [_entry(message) for message in messages]
        async with database.transaction(self._pool) as connection:
            await store.insert(connection, entries=entries)


def _entry(message: Msg) -> store.Entry:
    event = bus.decode(message.data, AuditRecorded)
    try:
        entry_id = UUID(event.id)
    except ValueError as error:
        raise PoisonError(f"{event.id} is not an id") from error
    return store.Entry(
        id=entry_id,
        time=datetime.fromtimestamp(event.time_unix_ms / 1000, UTC),
        # Clean already, unless somebody else published the event.
        actor=audit.clean(event.actor),
        action=audit.clean(event.action),
        object=audit.clean(event.object),
        detail=audit.clean(event.detail),
        allowed=event.allowed,
        reason=audit.clean(event.reason),
        peer=audit.clean(event.peer),
    )
