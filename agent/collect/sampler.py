import asyncio
import logging
import time
from collections.abc import Callable

from agent.base.config import LiveConfig
from agent.collect.collector import Collector
from agent.collect.connections import Connections
from agent.collect.cpu import Cpu
from agent.collect.disk import Disk
from agent.collect.disk_io import DiskIo
from agent.collect.load import Load
from agent.collect.memory import Memory
from agent.collect.network import Network
from agent.collect.omissions import OmissionLog, omit_error
from agent.collect.processes import Processes
from agent.collect.schedule import next_due
from agent.collect.temperature import Temperature
from agent.collect.top_processes import TopProcesses
from agent.collect.uptime import Uptime
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
    "top_processes": TopProcesses,
}


class Sampler:
    """Takes a performance snapshot with all enabled collectors at the report interval."""

    def __init__(
        self, config: LiveConfig, collectors: dict[str, Callable[[], Collector]] = COLLECTORS
    ) -> None:
        self._config = config
        self._available = collectors
        self._collectors: dict[str, Collector] = {}
        self._failing: set[str] = set()
        self._omission_log = OmissionLog()
        self._changed = asyncio.Event()
        config.subscribe(self._changed.set)
        self._select()

    def _select(self) -> None:
        config = self._config.current
        disabled = set(config.disabled_collectors)
        if not config.top_processes:
            disabled.add("top_processes")
        # A collector that is enabled again starts with new counters: the old ones are outdated.
        self._collectors = {
            name: self._collectors.get(name) or make()
            for name, make in self._available.items()
            if name not in disabled
        }

    def sample(self) -> PerformanceSnapshot:
        snapshot = PerformanceSnapshot(time_unix_ms=time.time_ns() // 1_000_000)
        for name, collector in self._collectors.items():
            self._collect(name, collector, snapshot)
        self._omission_log.update(snapshot)
        return snapshot

    def _collect(self, name: str, collector: Collector, snapshot: PerformanceSnapshot) -> None:
        try:
            collector.collect(snapshot, time.monotonic())
        except (OSError, ValueError) as error:
            omit_error(snapshot, name, "", error)
        except Exception as error:
            omit_error(snapshot, name, "", error)
            if name not in self._failing:
                self._failing.add(name)
                log.exception("The collector %s fails; the other collectors continue.", name)
        else:
            self._failing.discard(name)

    async def run(self, deliver: Callable[[PerformanceSnapshot], None]) -> None:
        """Deliver a snapshot at each multiple of the interval, without end."""
        now = asyncio.get_running_loop().time
        due = now()
        while True:
            deliver(self.sample())
            last = due
            due = next_due(last, self._config.current.report_interval, now())
            while (wait := due - now()) > 0:
                try:
                    await asyncio.wait_for(self._changed.wait(), wait)
                except asyncio.TimeoutError:
                    break
                self._changed.clear()
                self._select()
                due = last + self._config.current.report_interval
            await asyncio.sleep(0)
