import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config import LiveConfig
from agent.engine import Record, connect, list_containers, stats, text_of
from agent.rate import Rates
from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerSnapshot

if TYPE_CHECKING:
    from aiodocker import Docker as Engine

log = logging.getLogger(__name__)

INTERVAL = 10.0  # seconds
NUDGE_INTERVAL = 1.0  # seconds between looks that were asked for
REQUEST_TIMEOUT = 5.0  # seconds
REQUESTS = 8  # at a time
NAME_LIMIT = 8
PORT_LIMIT = 64
MOUNT_LIMIT = 32
LABEL_LIMIT = 32
SNAPSHOT_BYTES = 256 * 1024
MEASURED = ("running", "paused")  # states in which a container uses anything
# What the console groups by, kept where other labels find no room.
GROUPING = ("com.docker.compose.project", "com.docker.compose.service")


class Docker:
    """Looks at the engine's containers for as long as the configuration wants it."""

    def __init__(self, config: LiveConfig) -> None:
        self._config = config
        self._changed = asyncio.Event()
        config.subscribe(self._changed.set)
        self._engine: Engine | None = None
        self._rates: dict[str, Rates[str]] = {}
        self._away = False

    async def run(self, deliver: Callable[[DockerSnapshot], None]) -> None:
        try:
            while True:
                looked = time.monotonic()
                self._changed.clear()
                if self._wanted():
                    await self._try(deliver)
                else:
                    await self._leave()
                with contextlib.suppress(asyncio.TimeoutError):
                    left = looked + INTERVAL - time.monotonic()
                    await asyncio.wait_for(self._changed.wait(), max(left, 0))
                await asyncio.sleep(looked + min(NUDGE_INTERVAL, INTERVAL) - time.monotonic())
        finally:
            await self._leave()

    def nudge(self) -> None:
        """Something changed: look at once instead of at the next turn."""
        self._changed.set()

    def _wanted(self) -> bool:
        current = self._config.current
        return current.docker and "docker" not in current.disabled_collectors

    async def _try(self, deliver: Callable[[DockerSnapshot], None]) -> None:
        try:
            snapshot = await self.snapshot()
        except Exception as error:  # noqa: BLE001  # the top of this collector's loop
            if not self._away:
                self._away = True
                log.warning(
                    "the Docker engine does not answer: %s: %s", type(error).__name__, error
                )
            await self._leave()
            return
        if self._away:
            self._away = False
            log.info("the Docker engine answers again")
        deliver(snapshot)

    async def _leave(self) -> None:
        engine, self._engine = self._engine, None
        # What it counted before says nothing of the time until it is back.
        self._rates = {}
        if engine:
            await engine.close()

    async def snapshot(self) -> DockerSnapshot:
        socket = Path(self._config.current.docker_socket)
        engine = self._engine = self._engine or connect(socket, timeout=REQUEST_TIMEOUT)
        moment = time.time_ns() // 1_000_000
        records, _ = await list_containers(engine)
        allowed = asyncio.Semaphore(REQUESTS)

        async def measure(record: Record) -> Record:
            async with allowed:
                return await stats(engine, record["Id"])

        measured = [record for record in records if record["State"] in MEASURED]
        readings = dict(
            zip(
                (record["Id"] for record in measured),
                await asyncio.gather(*map(measure, measured)),
                strict=True,
            )
        )
        self._rates = {name: self._rates.get(name) or Rates() for name in readings}
        snapshot = DockerSnapshot(time_unix_ms=moment)
        for record in records:
            info = describe(record)
            if reading := readings.get(info.id):
                measure_into(info, reading, self._rates[info.id])
            snapshot.containers.append(info)
        shorten(snapshot)
        return snapshot


def describe(record: Record) -> DockerContainerInfo:
    info = DockerContainerInfo(
        id=record["Id"],
        names=[text_of(name.lstrip("/")) for name in (record.get("Names") or [])[:NAME_LIMIT]],
        image=text_of(record.get("Image")),
        state=text_of(record.get("State")),
        status=text_of(record.get("Status")),
        created_at_unix_ms=int(record.get("Created") or 0) * 1000,
    )
    for port in (record.get("Ports") or [])[:PORT_LIMIT]:
        info.ports.add(
            host_ip=text_of(port.get("IP")),
            host_port=port.get("PublicPort") or 0,
            container_port=port.get("PrivatePort") or 0,
            protocol=text_of(port.get("Type")),
        )
    for mount in (record.get("Mounts") or [])[:MOUNT_LIMIT]:
        info.mounts.add(
            type=text_of(mount.get("Type")),
            source=text_of(mount.get("Source") or mount.get("Name")),
            destination=text_of(mount.get("Destination")),
            read_only=not mount.get("RW", True),
        )
    labels = record.get("Labels") or {}
    ordered = sorted(labels.items(), key=lambda label: (label[0] not in GROUPING, label))
    for name, value in ordered[:LABEL_LIMIT]:
        info.labels[text_of(name)] = text_of(value)
    return info


def measure_into(info: DockerContainerInfo, reading: Record, rates: Rates[str]) -> None:
    processor = (reading.get("cpu_stats") or {}).get("cpu_usage") or {}
    counters: dict[str, int | None] = {"cpu": processor.get("total_usage")}
    networks = list((reading.get("networks") or {}).values())
    if networks:
        counters["received"] = sum(int(network.get("rx_bytes", 0)) for network in networks)
        counters["transmitted"] = sum(int(network.get("tx_bytes", 0)) for network in networks)
    blocks = (reading.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    for operation in ("read", "write"):
        counters[operation] = sum(
            int(entry["value"]) for entry in blocks if entry["op"].lower() == operation
        )
    per_second = rates.update(
        {name: count for name, count in counters.items() if count is not None}, time.monotonic()
    )
    for counter, field in (
        ("received", "network_receive_bytes_per_second"),
        ("transmitted", "network_transmit_bytes_per_second"),
        ("read", "block_read_bytes_per_second"),
        ("write", "block_write_bytes_per_second"),
    ):
        if counter in per_second:
            setattr(info, field, per_second[counter])
    if "cpu" in per_second:
        info.cpu_usage_percent = per_second["cpu"] / 1e9 * 100  # counted in nanoseconds
    memory = reading.get("memory_stats") or {}
    if (usage := memory.get("usage")) is not None:
        info.memory_usage_bytes = max(usage - _inactive(memory.get("stats") or {}), 0)
        info.memory_limit_bytes = memory.get("limit") or 0


def _inactive(stats: Record) -> int:
    """Page cache that nobody waits for, which `docker stats` leaves out too."""
    # The first is cgroup v1's.
    return int(stats.get("total_inactive_file") or stats.get("inactive_file") or 0)


def shorten(snapshot: DockerSnapshot) -> None:
    """Within the bounds of one message; what tells least goes first."""
    size = snapshot.ByteSize()
    for part in ("labels", "mounts", "ports"):
        for info in _largest(snapshot, part):
            if size <= SNAPSHOT_BYTES:
                return
            size -= info.ByteSize()
            kept = {name: info.labels[name] for name in GROUPING if name in info.labels}
            info.ClearField(part)
            info.labels.update(kept)
            size += info.ByteSize()
    # Those that run come first.
    while size > SNAPSHOT_BYTES:
        size -= snapshot.containers.pop().ByteSize()


def _largest(snapshot: DockerSnapshot, part: str) -> Iterator[DockerContainerInfo]:
    return iter(sorted(snapshot.containers, key=lambda info: -len(getattr(info, part))))
