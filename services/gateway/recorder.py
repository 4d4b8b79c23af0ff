"""Writes what events say of servers, and what they say was done."""

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from uuid import UUID

from nats.aio.msg import Msg

from flotilla.v1.event_pb2 import AuditRecorded, VpsConnected, VpsDisconnected
from services.gateway import records
from services.gateway.store import audit, fleet
from services.kit import bus, database, subjects
from services.kit.errors import PoisonError

BATCH = 100  # events a transaction


class Recorder:
    def __init__(self, pool: database.Pool) -> None:
        self._pool = pool

    async def record(self, messages: Sequence[Msg]) -> None:
        """Raises: TransientError, PoisonError."""
        async with database.transaction(self._pool) as connection:
            for message in messages:
                vps_id = _uuid(subjects.vps_of(message.subject))
                if message.subject == subjects.vps_connected(str(vps_id)):
                    event = bus.decode(message.data, VpsConnected)
                    await fleet.record_connection(
                        connection,
                        vps_id=vps_id,
                        seen_at=_time(event.time_unix_ms),
                        ip_address=_address(event.peer),
                        os_type=event.facts.os_id,
                        metadata=records.metadata(event.facts, event.powers),
                    )
                elif message.subject == subjects.vps_disconnected(str(vps_id)):
                    seen_at = _time(bus.decode(message.data, VpsDisconnected).time_unix_ms)
                    await fleet.record_seen(connection, vps_id=vps_id, seen_at=seen_at)

    async def record_audit(self, messages: Sequence[Msg]) -> None:
        """Raises: TransientError, PoisonError."""
        entries = [_entry(message) for message in messages]
        async with database.transaction(self._pool) as connection:
            await audit.insert(connection, entries=entries)


def _entry(message: Msg) -> audit.Entry:
    event = bus.decode(message.data, AuditRecorded)
    return audit.Entry(
        id=_uuid(event.id),
        time=_time(event.time_unix_ms),
        actor=event.actor,
        action=event.action,
        object=event.object,
        detail=event.detail,
        allowed=event.allowed,
        reason=event.reason,
        peer=event.peer,
    )


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise PoisonError(f"{text} is not an id") from error


def _time(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, UTC)


def _address(peer: str) -> str:
    try:
        return str(ip_address(peer))
    except ValueError:
        return ""
