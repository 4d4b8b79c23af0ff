"""The `agents` bucket in memory: everything the edge knows about agents."""

import asyncio
from collections.abc import Callable

import structlog

from flotilla.v1.bus_pb2 import AgentRecord
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.errors import PoisonError

log = structlog.get_logger(__name__)

OnChange = Callable[[str, AgentRecord | None], None]


class AgentRegistry:
    def __init__(self, on_change: OnChange) -> None:
        """Call `on_change(vps_id, record)` for each change after loading; None is a removal."""
        self._records: dict[str, AgentRecord] = {}
        self._on_change = on_change
        self.loaded = asyncio.Event()

    def __len__(self) -> int:
        return len(self._records)

    def get(self, vps_id: str) -> AgentRecord | None:
        return self._records.get(vps_id)

    async def follow(self, connection: bus.Bus) -> None:
        """Apply the bucket's entries until cancelled."""
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
                log.exception("agent_record_invalid", vps_id=entry.key)
        if record == self._records.get(entry.key):
            return
        if record is None:
            del self._records[entry.key]
        else:
            self._records[entry.key] = record
        if self.loaded.is_set():
            self._on_change(entry.key, record)
