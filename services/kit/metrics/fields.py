"""The metrics of a sample: their names in the database, the API and live data, and their values."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flotilla.v1.metrics_pb2 import OmittedItem, PerformanceSnapshot

Value = float | int | None
Snapshot = PerformanceSnapshot


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    read: Callable[[Snapshot], Value]
    # True for a counter: several points are combined to their last value instead of their average.
    counter: bool = False
    # Bytes, seconds or a number of things. An average of them is rounded.
    integer: bool = False


def _field(name: str, digits: int | None = None) -> Callable[[Snapshot], Value]:
    def read(snapshot: Snapshot) -> Value:
        if not snapshot.HasField(name):  # type: ignore[arg-type]  # one name of the table below
            return None
        value: float = getattr(snapshot, name)
        return value if digits is None else round(value, digits)

    return read


def _percentage(used: str, total: str) -> Callable[[Snapshot], Value]:
    def read(snapshot: Snapshot) -> Value:
        whole: int = getattr(snapshot, total)
        if not whole:
            return None
        part: int = getattr(snapshot, used)
        return round(100 * part / whole, 2)

    return read


def _disk_used(snapshot: Snapshot) -> Value:
    return sum(disk.used_bytes for disk in snapshot.disks) if snapshot.disks else None


def _disk_total(snapshot: Snapshot) -> Value:
    return sum(disk.total_bytes for disk in snapshot.disks) if snapshot.disks else None


def _disk_usage(snapshot: Snapshot) -> Value:
    """Return the usage of the fullest file system: an average could hide a full one."""
    shares = [
        100 * disk.used_bytes / disk.total_bytes for disk in snapshot.disks if disk.total_bytes
    ]
    return round(max(shares), 2) if shares else None


def _temperature(snapshot: Snapshot) -> Value:
    return max((round(t.celsius, 1) for t in snapshot.temperatures), default=None)


METRICS = (
    Metric("cpu_usage", _field("cpu_usage_percent", 2)),
    Metric("cpu_iowait", _field("cpu_iowait_percent", 2)),
    Metric("cpu_steal", _field("cpu_steal_percent", 2)),
    Metric("load_1", _field("load_1", 2)),
    Metric("load_5", _field("load_5", 2)),
    Metric("load_15", _field("load_15", 2)),
    Metric("mem_usage", _percentage("memory_used_bytes", "memory_total_bytes")),
    Metric("mem_used", _field("memory_used_bytes"), integer=True),
    Metric("mem_total", _field("memory_total_bytes"), integer=True),
    Metric("mem_cached", _field("memory_cached_bytes"), integer=True),
    Metric("swap_used", _field("swap_used_bytes"), integer=True),
    Metric("swap_total", _field("swap_total_bytes"), integer=True),
    Metric("disk_usage", _disk_usage),
    Metric("disk_used", _disk_used, integer=True),
    Metric("disk_total", _disk_total, integer=True),
    Metric("disk_io_read", _field("disk_read_bytes_per_second", 1)),
    Metric("disk_io_write", _field("disk_write_bytes_per_second", 1)),
    Metric("disk_iops_read", _field("disk_reads_per_second", 1)),
    Metric("disk_iops_write", _field("disk_writes_per_second", 1)),
    Metric("net_rx", _field("network_receive_bytes_per_second", 1)),
    Metric("net_tx", _field("network_transmit_bytes_per_second", 1)),
    Metric("net_rx_total", _field("network_receive_bytes_total"), counter=True, integer=True),
    Metric("net_tx_total", _field("network_transmit_bytes_total"), counter=True, integer=True),
    Metric("tcp_connections", _field("tcp_connections"), integer=True),
    Metric("udp_connections", _field("udp_connections"), integer=True),
    Metric("processes", _field("processes"), integer=True),
    Metric("uptime", _field("uptime_seconds"), counter=True, integer=True),
    Metric("temperature", _temperature),
)


def measured_at(snapshot: Snapshot) -> datetime:
    return datetime.fromtimestamp(snapshot.time_unix_ms / 1000, UTC)


def rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def values(snapshot: Snapshot) -> dict[str, Value]:
    return {metric.name: metric.read(snapshot) for metric in METRICS}


PARTS = (
    "cpu_core_usage_percent",
    "cpu_cores_without_value",
    "disks",
    "block_devices",
    "interfaces",
    "temperatures",
    "omitted",
)


OMITTED_REASONS = {
    OmittedItem.REASON_UNREADABLE: "unreadable",
    OmittedItem.REASON_IMPOSSIBLE: "impossible",
    OmittedItem.REASON_TOO_MANY: "too_many",
    OmittedItem.REASON_NO_ANSWER: "no_answer",
}


def pack_detail(snapshot: Snapshot) -> bytes | None:
    """Return the lists of a sample, serialised, or None. They take a fifth of the space of jsonb."""
    parts = PerformanceSnapshot()
    for name in PARTS:
        getattr(parts, name).MergeFrom(getattr(snapshot, name))
    return parts.SerializeToString() or None


def unpack_detail(stored: bytes | None) -> dict[str, list[Any]]:
    return detail(PerformanceSnapshot.FromString(stored or b""))


def detail(snapshot: Snapshot) -> dict[str, list[Any]]:
    """Return the lists of a sample (disks, interfaces …) ready for JSON, without empty ones."""
    unknown = frozenset(snapshot.cpu_cores_without_value)
    parts: dict[str, list[Any]] = {
        "cpu_cores": [
            None if number in unknown else round(core, 1)
            for number, core in enumerate(snapshot.cpu_core_usage_percent)
        ],
        "disks": [
            {
                "mount_point": disk.mount_point,
                "device": disk.device,
                "filesystem": disk.filesystem,
                "total": disk.total_bytes,
                "used": disk.used_bytes,
            }
            for disk in snapshot.disks
        ],
        "block_devices": [
            {
                "device": device.device,
                "read": _rate(device, "read_bytes_per_second"),
                "write": _rate(device, "write_bytes_per_second"),
                "reads": _rate(device, "reads_per_second"),
                "writes": _rate(device, "writes_per_second"),
            }
            for device in snapshot.block_devices
        ],
        "interfaces": [
            {
                "name": interface.name,
                "rx": _rate(interface, "receive_bytes_per_second"),
                "tx": _rate(interface, "transmit_bytes_per_second"),
                "rx_total": interface.receive_bytes_total,
                "tx_total": interface.transmit_bytes_total,
            }
            for interface in snapshot.interfaces
        ],
        "temperatures": [
            {"sensor": t.sensor, "celsius": round(t.celsius, 1)} for t in snapshot.temperatures
        ],
        "omitted": [
            {
                "collector": omitted.collector,
                "item": omitted.item,
                "reason": OMITTED_REASONS.get(omitted.reason, "unreadable"),
                "detail": omitted.detail,
            }
            for omitted in snapshot.omitted
        ],
    }
    return {name: part for name, part in parts.items() if part}


def processes(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return the processes that use the most CPU time and memory, the busiest first."""
    found = [
        {
            "pid": process.pid,
            "name": process.name,
            "user": process.user,
            "cpu_usage": _rate(process, "cpu_usage_percent"),
            "memory": process.resident_bytes,
        }
        for process in snapshot.top_processes
    ]
    return sorted(found, key=lambda each: (-(each["cpu_usage"] or 0.0), -each["memory"]))


def _rate(part: Any, name: str) -> float | None:
    return round(getattr(part, name), 1) if part.HasField(name) else None
