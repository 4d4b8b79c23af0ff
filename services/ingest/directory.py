"""All the edge knows of agents: the `agents` bucket, kept in memory."""

import asyncio
from collections.abc import Callable

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from flotilla.v1.bus_pb2 import AgentRecord
from services.kit import bus, subjects
from services.kit.errors import PoisonError

log = structlog.get_logger(__name__)

Changed = Callable[[str, AgentRecord | None], None]


class Directory:
    def __init__(self, changed: Changed) -> None:
        """`changed(vps_id, record)` is called for every later change; None is removal."""
        self._records: dict[str, AgentRecord] = {}
        self._changed = changed
        self.loaded = asyncio.Event()

    def __len__(self) -> int:
        return len(self._records)

    def get(self, vps_id: str) -> AgentRecord | None:
        return self._records.get(vps_id)

    async def follow(self, connection: bus.Bus) -> None:
        async for entry in connection.watch(subjects.Bucket.AGENTS):
            if entry is None:
                self.loaded.set()
                log.info("agents_loaded", agents=len(self._records))
            else:
                self._apply(entry)

    def _apply(self, entry: bus.Entry) -> None:
        record = None
        if entry.value is not None:
            try:
                record = bus.decode(entry.value, AgentRecord)
            except PoisonError:
                log.exception("agent_record_unreadable", vps_id=entry.key)
        if record == self._records.get(entry.key):
            return
        if record is None:
            del self._records[entry.key]
        else:
            self._records[entry.key] = record
        if self.loaded.is_set():
            self._changed(entry.key, record)


def signed_by(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Ed25519, RFC 8032; False for a malformed key or signature too."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
