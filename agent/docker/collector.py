import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from agent.base.config import LiveConfig
from agent.collect.rates import Rates
from agent.docker.client import Record, clean_text, list_containers, stats
from agent.docker.engine_reader import EngineReader
from agent.docker.redaction import redact_value
from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerSnapshot

log = logging.getLogger(__name__)

INTERVAL = 10.0  # seconds
MIN_INTERVAL = 1.0  # seconds between snapshots after reported changes
REQUEST_TIMEOUT = 5.0  # seconds
MAX_REQUESTS = 8  # at a time
# Limit per container, so one that does not answer does not delay the others. All containers of a
# snapshot together have READINGS_TIMEOUT.
STATS_TIMEOUT = 2.0  # seconds
STATS_TURN = 0.4  # seconds after which the next request may start
READINGS_TIMEOUT = 6.0  # seconds
# More bytes than any host has. Engines report "no limit" as a number near 2^63 or 2^64.
NO_MEMORY_LIMIT = 1 << 60
# Errors that an answer with an undocumented format causes.
MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
NAME_LIMIT = 8
PORT_LIMIT = 64
MOUNT_LIMIT = 32
LABEL_LIMIT = 32
LABEL_TEXT = 2048  # characters of a label's value that are examined
SNAPSHOT_BYTES = 256 * 1024
MEASURED_STATES = ("running", "paused")  # in which a container uses resources
# The console groups containers by these labels, so they are kept when others are dropped.
GROUPING_LABELS = ("com.docker.compose.project", "com.docker.compose.service")


class DockerCollector:
    """Takes snapshots of the engine's containers while the configuration enables it."""

    def __init__(self, config: LiveConfig) -> None:
        self._config = config
        self._changed = asyncio.Event()
        config.subscribe(self._changed.set)
        self._engine: EngineReader | None = None
        self._rates: dict[str, Rates[str]] = {}
        self._engine_failed = False
        self._hanging: set[str] = set()  # containers whose last reading did not come
        self._left_out = 0

    async def run(self, deliver: Callable[[DockerSnapshot], None]) -> None:
        now = asyncio.get_running_loop().time
        try:
            while True:
                began = now()
                self._changed.clear()
                if self._is_enabled():
                    await self._deliver_snapshot(deliver)
                else:
                    self._disconnect()
                with contextlib.suppress(asyncio.TimeoutError):
                    left = began + INTERVAL - now()
                    await asyncio.wait_for(self._changed.wait(), max(left, 0))
                await asyncio.sleep(began + min(MIN_INTERVAL, INTERVAL) - now())
        finally:
            self._disconnect()

    def collect_soon(self) -> None:
        """Take the next snapshot early, because something has changed."""
        self._changed.set()

    def _is_enabled(self) -> bool:
        current = self._config.current
        return current.docker and "docker" not in current.disabled_collectors

    async def _deliver_snapshot(self, deliver: Callable[[DockerSnapshot], None]) -> None:
        try:
            snapshot = await self.snapshot()
        except Exception as error:  # noqa: BLE001  # the top of this collector's loop
            if not self._engine_failed:
                self._engine_failed = True
                log.warning(
                    "the Docker engine does not answer: %s: %s", type(error).__name__, error
                )
            self._disconnect()
            return
        if self._engine_failed:
            self._engine_failed = False
            log.info("the Docker engine answers again")
        deliver(snapshot)

    def _disconnect(self) -> None:
        self._engine = None
        # Counters from before the pause would give wrong rates.
        self._rates = {}

    async def snapshot(self) -> DockerSnapshot:
        socket = Path(self._config.current.docker_socket)
        engine = self._engine = self._engine or EngineReader(socket, timeout=REQUEST_TIMEOUT)
        now_ms = time.time_ns() // 1_000_000
        records, surplus = await list_containers(engine)
        readings = await self._read_all(engine, records)
        self._rates = {name: self._rates.get(name) or Rates() for name in readings}
        snapshot = DockerSnapshot(time_unix_ms=now_ms, containers_left_out=surplus)
        for record in records:
            try:
                info = describe(record)
            except MALFORMED:
                snapshot.containers_left_out += 1
                continue
            if reading := readings.get(info.id):
                info = with_usage(info, reading, self._rates[info.id], time.monotonic())
            snapshot.containers.append(info)
        shrink(snapshot)
        self._log_left_out(snapshot.containers_left_out)
        return snapshot

    async def _read_all(self, engine: EngineReader, records: list[Record]) -> dict[str, Record]:
        """Return the readings of running containers by id; empty if a reading did not come in time."""
        slots = asyncio.Semaphore(MAX_REQUESTS)
        names = [record["Id"] for record in records if record["State"] in MEASURED_STATES]
        # Containers that hung before come last, so that they do not occupy all slots.
        names.sort(key=self._hanging.__contains__)

        async def read(name: str) -> Record:
            async with slots:
                reading = asyncio.ensure_future(stats(engine, name))
                try:
                    await asyncio.wait({reading}, timeout=STATS_TURN)
                except asyncio.CancelledError:
                    reading.cancel()
                    raise
            return await asyncio.wait_for(reading, STATS_TIMEOUT)

        tasks = {name: asyncio.ensure_future(read(name)) for name in names}
        try:
            if tasks:
                await asyncio.wait(tasks.values(), timeout=READINGS_TIMEOUT)
        finally:
            for task in tasks.values():
                task.cancel()
        results = await asyncio.gather(*tasks.values(), return_exceptions=True)
        readings = {
            name: {} if isinstance(result, BaseException) else result
            for name, result in zip(tasks, results, strict=True)
        }
        hanging = {name for name, task in tasks.items() if not readings[name]}
        for name in sorted(hanging - self._hanging):
            log.warning("container %.12s has no figures: the engine does not report them", name)
        self._hanging = hanging
        return readings

    def _log_left_out(self, count: int) -> None:
        if count and count != self._left_out:
            log.warning("%d containers are left out: there are more than the agent reports", count)
        self._left_out = count


# The labels of a container rarely change, and every snapshot has them.
_redacted = lru_cache(maxsize=1024)(redact_value)


def describe(record: Record) -> DockerContainerInfo:
    """Convert one record of the engine's list; long lists and texts are cut."""
    info = DockerContainerInfo(
        id=record["Id"],
        names=[clean_text(name.lstrip("/")) for name in (record.get("Names") or [])[:NAME_LIMIT]],
        image=clean_text(record.get("Image")),
        state=clean_text(record.get("State")),
        status=clean_text(record.get("Status")),
        created_at_unix_ms=int(record.get("Created") or 0) * 1000,
    )
    for port in (record.get("Ports") or [])[:PORT_LIMIT]:
        info.ports.add(
            host_ip=clean_text(port.get("IP")),
            host_port=port.get("PublicPort") or 0,
            container_port=port.get("PrivatePort") or 0,
            protocol=clean_text(port.get("Type")),
        )
    for mount in (record.get("Mounts") or [])[:MOUNT_LIMIT]:
        info.mounts.add(
            type=clean_text(mount.get("Type")),
            source=clean_text(mount.get("Source") or mount.get("Name")),
            destination=clean_text(mount.get("Destination")),
            read_only=not mount.get("RW", True),
        )
    labels = record.get("Labels") or {}
    ordered = sorted(labels.items(), key=lambda label: (label[0] not in GROUPING_LABELS, label))
    for name, value in ordered[:LABEL_LIMIT]:
        # Redact before cutting: a cut text may lack the part that reveals a secret.
        info.labels[clean_text(name)] = clean_text(_redacted(name, str(value or "")[:LABEL_TEXT]))
    return info


def with_usage(
    info: DockerContainerInfo, reading: Record, rates: Rates[str], now: float
) -> DockerContainerInfo:
    """Return the container with the numbers of a reading, or without numbers if it is malformed."""
    measured = DockerContainerInfo()
    measured.CopyFrom(info)
    try:
        add_usage(measured, reading, rates, now)
    except MALFORMED:
        return info
    return measured


def add_usage(info: DockerContainerInfo, reading: Record, rates: Rates[str], now: float) -> None:
    """Add CPU, memory and I/O of one reading at `now`; rates need an earlier reading."""
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
        {name: count for name, count in counters.items() if count is not None}, now
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
        info.cpu_usage_percent = per_second["cpu"] / 1e9 * 100  # of nanoseconds per second
    memory = reading.get("memory_stats") or {}
    if (usage := memory.get("usage")) is not None:
        info.memory_usage_bytes = max(usage - _inactive_cache(memory.get("stats") or {}), 0)
        limit = memory.get("limit") or 0
        if limit < NO_MEMORY_LIMIT:
            info.memory_limit_bytes = limit


def _inactive_cache(stats: Record) -> int:
    """Return the reclaimable page cache, which `docker stats` leaves out too."""
    # total_inactive_file is cgroup v1, inactive_file is cgroup v2.
    return int(stats.get("total_inactive_file") or stats.get("inactive_file") or 0)


def shrink(snapshot: DockerSnapshot) -> None:
    """Drop the least important parts until the snapshot fits into one message."""
    size = snapshot.ByteSize()
    for part in ("labels", "mounts", "ports"):
        for info in _largest(snapshot, part):
            if size <= SNAPSHOT_BYTES:
                return
            size -= info.ByteSize()
            kept = {name: info.labels[name] for name in GROUPING_LABELS if name in info.labels}
            info.ClearField(part)
            info.labels.update(kept)
            size += info.ByteSize()
    # Running containers come first, so the last ones are dropped.
    while size > SNAPSHOT_BYTES:
        size -= snapshot.containers.pop().ByteSize()
        snapshot.containers_left_out += 1


def _largest(snapshot: DockerSnapshot, part: str) -> Iterator[DockerContainerInfo]:
    return iter(sorted(snapshot.containers, key=lambda info: -len(getattr(info, part))))
