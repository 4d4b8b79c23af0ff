import asyncio
import json
import logging
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.config import LiveConfig
from agent.rate import Rates
from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerSnapshot

if TYPE_CHECKING:
    from aiodocker import Docker as Engine

log = logging.getLogger(__name__)

INTERVAL = 10.0  # seconds
REQUEST_TIMEOUT = 5.0  # seconds
REQUESTS = 8  # at a time
CONTAINER_LIMIT = 200
NAME_LIMIT = 8
PORT_LIMIT = 64
MOUNT_LIMIT = 32
LABEL_LIMIT = 32
TEXT_LIMIT = 256  # characters
SNAPSHOT_BYTES = 256 * 1024
MEASURED = ("running", "paused")  # states in which a container uses anything
ALIVE = json.dumps({"status": ["running", "paused", "restarting"]})

Record = dict[str, Any]  # a JSON object of the engine


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
                due = time.monotonic() + INTERVAL
                if self._wanted():
                    await self._try(deliver)
                else:
                    await self._leave()
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), max(due - time.monotonic(), 0))
                except asyncio.TimeoutError:
                    continue
        finally:
            await self._leave()

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
        engine = self._engine = self._engine or _connect(Path(self._config.current.docker_socket))
        moment = time.time_ns() // 1_000_000
        records = await _containers(engine)
        allowed = asyncio.Semaphore(REQUESTS)

        async def measure(record: Record) -> Record:
            async with allowed:
                return await _stats(engine, record["Id"])

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


def _connect(socket: Path) -> "Engine":
    if not socket.is_socket():
        raise OSError(f"there is no {socket}")
    # The agent runs without ssl. aiohttp copes; aiodocker wants it for annotations alone,
    # since what it speaks to here is a Unix socket.
    import aiohttp  # noqa: PLC0415  # 10 MB that only hosts with Docker pay

    absent = "ssl" in sys.modules and sys.modules["ssl"] is None
    if absent:
        sys.modules["ssl"] = types.ModuleType("ssl")
    try:
        import aiodocker  # noqa: PLC0415  # as aiohttp
    finally:
        if absent:
            sys.modules["ssl"] = None  # type: ignore[assignment]  # import then raises ImportError
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
    return aiodocker.Docker(f"unix://{socket}", timeout=timeout)


async def _containers(engine: "Engine") -> list[Record]:
    """Those alive, and what else there is within the limit."""
    found: dict[str, Record] = {}
    for parameters in ({"filters": ALIVE}, {"all": "1"}):
        for container in await engine.containers.list(limit=CONTAINER_LIMIT, **parameters):
            if len(found) < CONTAINER_LIMIT:
                found.setdefault(container.id, container._container)  # noqa: SLF001  # all that was told of it
    return list(found.values())


async def _stats(engine: "Engine", container_id: str) -> Record:
    from aiodocker import DockerError  # noqa: PLC0415  # loaded by now

    try:
        # The public method cannot ask for one reading: the engine would take two, a
        # second apart.
        answer: Record = await engine._query_json(  # noqa: SLF001
            f"containers/{container_id}/stats", params={"stream": "0", "one-shot": "1"}
        )
    except DockerError:
        return {}  # gone since it was listed
    return answer


def describe(record: Record) -> DockerContainerInfo:
    info = DockerContainerInfo(
        id=record["Id"],
        names=[_text(name.lstrip("/")) for name in (record.get("Names") or [])[:NAME_LIMIT]],
        image=_text(record.get("Image")),
        state=_text(record.get("State")),
        status=_text(record.get("Status")),
        created_at_unix_ms=int(record.get("Created") or 0) * 1000,
    )
    for port in (record.get("Ports") or [])[:PORT_LIMIT]:
        info.ports.add(
            host_ip=_text(port.get("IP")),
            host_port=port.get("PublicPort") or 0,
            container_port=port.get("PrivatePort") or 0,
            protocol=_text(port.get("Type")),
        )
    for mount in (record.get("Mounts") or [])[:MOUNT_LIMIT]:
        info.mounts.add(
            type=_text(mount.get("Type")),
            source=_text(mount.get("Source") or mount.get("Name")),
            destination=_text(mount.get("Destination")),
            read_only=not mount.get("RW", True),
        )
    labels = sorted((record.get("Labels") or {}).items())
    for name, value in labels[:LABEL_LIMIT]:
        info.labels[_text(name)] = _text(value)
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
    for part in ("labels", "mounts", "ports"):
        for info in _largest(snapshot, part):
            if snapshot.ByteSize() <= SNAPSHOT_BYTES:
                return
            info.ClearField(part)


def _largest(snapshot: DockerSnapshot, part: str) -> Iterator[DockerContainerInfo]:
    return iter(sorted(snapshot.containers, key=lambda info: -len(getattr(info, part))))


def _text(value: object) -> str:
    # A lone surrogate is JSON, but no UTF-8.
    text = str(value or "")[:TEXT_LIMIT].encode(errors="replace").decode()
    return text.replace("\0", "")
