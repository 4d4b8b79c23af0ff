"""Stores what connection events report about servers."""

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from uuid import UUID

from nats.aio.msg import Msg

from flotilla.v1.event_pb2 import VpsConnected, VpsDisconnected
from services.gateway.servers import mapping as server_mapping
from services.gateway.servers import store as server_store
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.database import pool as database
from services.kit.errors import PoisonError

BATCH = 100  # events in one transaction


class EventConsumer:
    def __init__(self, pool: database.Pool) -> None:
        self._pool = pool

    async def record(self, messages: Sequence[Msg]) -> None:
        """Store the events of one batch in one transaction.

        Raises:
            TransientError: the database is away.
            PoisonError: an event cannot be read.
        """
        async with database.transaction(self._pool) as connection:
            for message in messages:
                vps_id = _uuid(subjects.vps_of(message.subject))
                if message.subject == subjects.vps_connected(str(vps_id)):
                    event = bus.decode(message.data, VpsConnected)
                    await server_store.record_connection(
                        connection,
                        vps_id=vps_id,
                        seen_at=_time(event.time_unix_ms),
                        ip_address=_address(event.peer),
                        os_type=event.facts.os_id,
                        metadata=server_mapping.metadata(event.facts, event.powers),
                    )
                elif message.subject == subjects.vps_disconnected(str(vps_id)):
                    seen_at = _time(bus.decode(message.data, VpsDisconnected).time_unix_ms)
                    await server_store.record_seen(connection, vps_id=vps_id, seen_at=seen_at)


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
