import asyncio
import logging
import time
from collections.abc import Callable

from agent.collect.collector import Collector
from agent.collect.connections import Connections
from agent.collect.cpu import Cpu
from agent.collect.disk import Disk
from agent.collect.disk_io import DiskIo
from agent.collect.load import Load
from agent.collect.memory import Memory
from agent.collect.network import Network
from agent.collect.processes import Processes
from agent.collect.temperature import Temperature
from agent.collect.uptime import Uptime
from agent.config import LiveConfig
from agent.rhythm import following
from flotilla.v1.metrics_pb2 import PerformanceSnapshot

log = logging.getLogger(__name__)

COLLECTORS: dict[str, Callable[[], Collector]] = {
    "cpu": Cpu,
    "load": Load,
    "memory": Memory,
    "disk": Disk,
    "disk_io": DiskIo,
    "network": Network,
    "connections": Connections,
    "processes": Processes,
    "uptime": Uptime,
    "temperature": Temperature,
}


class Sampler:
    def __init__(
        self, config: LiveConfig, collectors: dict[str, Callable[[], Collector]] = COLLECTORS
    ) -> None:
        self._config = config
        self._available = collectors
        self._collectors: dict[str, Collector] = {}
        self._failing: set[str] = set()
        self._changed = asyncio.Event()
        config.subscribe(self._changed.set)
        self._select()

    def _select(self) -> None:
        disabled = self._config.current.disabled_collectors
        # One that comes back starts afresh: its old counters are of another time.
        self._collectors = {
            name: self._collectors.get(name) or make()
            for name, make in self._available.items()
            if name not in disabled
        }

    def sample(self) -> PerformanceSnapshot:
        snapshot = PerformanceSnapshot(time_unix_ms=time.time_ns() // 1_000_000)
        for name, collector in self._collectors.items():
            self._collect(name, collector, snapshot)
        return snapshot

    def _collect(self, name: str, collector: Collector, snapshot: PerformanceSnapshot) -> None:
        try:
            collector.collect(snapshot, time.monotonic())
        except Exception:
            if name not in self._failing:
                self._failing.add(name)
                log.exception("collector %s fails; the others go on", name)
        else:
            if name in self._failing:
                self._failing.remove(name)
                log.info("collector %s works again", name)

    async def run(self, deliver: Callable[[PerformanceSnapshot], None]) -> None:
        """Sample for ever, at multiples of the interval from the first one on."""
        due = time.monotonic()
        while True:
            deliver(self.sample())
            taken = due
            due = following(taken, self._config.current.report_interval, time.monotonic())
            while (wait := due - time.monotonic()) > 0:
                try:
                    await asyncio.wait_for(self._changed.wait(), wait)
                except asyncio.TimeoutError:
                    break
                self._changed.clear()
                self._select()
                due = taken + self._config.current.report_interval
            await asyncio.sleep(0)
