"""The newest known state of one server, in memory."""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flotilla.v1.metrics_pb2 import PerformanceSnapshot
from services.kit.access import Object
from services.kit.agents.presence import Status
from services.kit.metrics import fields as metric_fields

PROCESSES_AGE = timedelta(minutes=1)  # agents report them every 15 seconds
DEFAULT_INTERVAL = 2.0  # seconds between an agent's reports until two have come


@dataclass(slots=True)
class Server:
    """The newest sample and the status of one server, as this process knows them."""

    object: Object
    """The server as the rules of access see it."""
    enrolled: bool
    status: Status
    time: datetime | None = None
    sampled_at: float | None = None  # monotonic
    interval: float = DEFAULT_INTERVAL
    _snapshot: PerformanceSnapshot | None = None
    _fields: dict[str, Any] | None = None
    _detail: dict[str, Any] | None = None
    _processes: list[dict[str, Any]] = field(default_factory=list)
    _processes_at: datetime | None = None

    def take(self, snapshot: PerformanceSnapshot, now: float) -> bool:
        """Keep a snapshot if it is newer than the last one; return whether it is."""
        measured = metric_fields.measured_at(snapshot)
        if self.time is not None:
            gap = (measured - self.time).total_seconds()
            if gap <= 0:
                return False
            if self._snapshot is not None:
                self.interval = min(max(gap, 0.5), 3600.0)
        self.time, self.sampled_at = measured, now
        self._snapshot, self._fields, self._detail = snapshot, None, None
        # Few samples have them, so they stay for a while. They are not stored.
        if snapshot.top_processes:
            self._processes, self._processes_at = metric_fields.processes(snapshot), measured
        elif self._processes_at is not None and measured - self._processes_at > PROCESSES_AGE:
            self._processes, self._processes_at = [], None
        return True

    def restore(self, row: dict[str, Any], now: float) -> None:
        """Start from a stored row, unless a newer sample has arrived; `now` is monotonic."""
        if self.time is None:
            self.time = row["time"]
            self.sampled_at = now - max(time.time() - row["time"].timestamp(), 0.0)
            self._detail = metric_fields.unpack_detail(row.pop("detail"))
            self._fields = {**row, "time": metric_fields.rfc3339(row["time"])}

    def fields(self, vps_id: str) -> dict[str, Any] | None:
        if self._fields is None and self._snapshot is not None and self.time is not None:
            self._fields = {
                "time": metric_fields.rfc3339(self.time),
                "vps_id": vps_id,
                **metric_fields.values(self._snapshot),
                "clock_corrected": self._snapshot.clock_corrected,
            }
        return self._fields

    def detail(self) -> dict[str, Any]:
        if self._detail is None:
            self._detail = (
                metric_fields.detail(self._snapshot) if self._snapshot is not None else {}
            )
            if self._processes:
                self._detail["top_processes"] = self._processes
        return self._detail
