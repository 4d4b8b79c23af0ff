import dataclasses
import re
from pathlib import Path

import psutil

from agent.collect.kernel.procfs import procfs
from agent.collect.omissions import omit_more
from agent.collect.rates import Rates
from flotilla.v1.metrics_pb2 import PerformanceSnapshot

# Virtual devices. Their traffic is counted on a physical device, or there is none. They are listed by
# name because not all of these drivers tell which device is below.
VIRTUAL = ("dm-", "drbd", "fd", "loop", "md", "ploop", "ram", "sr", "zd", "zram")
# A path to an NVMe disk: nvme0c1n1 is a path to nvme0n1.
NVME_PATH = re.compile(r"(nvme\d+)c\d+(n\d+)")
DEVICE_LIMIT = 256
COUNTERS = ("read_bytes", "write_bytes", "read_count", "write_count")

Device = dict[str, float]  # rate of each counter per second


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """Place of a device in /sys/block."""

    is_counted: bool
    # The NVMe disk that this path leads to.
    head: str | None = None


class DiskIo:
    """Computes read and write rates of whole block devices from the counters of psutil.

    The sum over devices that psutil offers is not used: it counts a byte once per layer of devices.
    """

    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._proc = proc
        self._block = sys / "block"
        self._kinds: dict[str, Kind] = {}
        self._rates: Rates[tuple[str, str]] = Rates()

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:
        with procfs(self._proc):
            counters = psutil.disk_io_counters(perdisk=True, nowrap=False)
        self._kinds = {name: self._kinds.get(name) or self._kind(name) for name in counters}
        names = [name for name, kind in self._kinds.items() if kind.is_counted]
        rates = self._rates.update(
            {
                (name, counter): getattr(counters[name], counter)
                for name in names
                for counter in COUNTERS
            },
            now,
        )
        devices = {
            name: {c: rates[name, c] for c in COUNTERS if (name, c) in rates} for name in names
        }
        devices = self._merge_paths(devices)
        for position, (name, device) in enumerate(devices.items()):
            _add_up(snapshot, device)
            if position < DEVICE_LIMIT:
                _report(snapshot, name, device)
        omit_more(snapshot, "disk_io", len(devices), DEVICE_LIMIT)

    def _merge_paths(self, devices: dict[str, Device]) -> dict[str, Device]:
        """Report an NVMe disk once. Old kernels count for its paths alone, new ones for both."""
        paths: dict[str, Device] = {}
        for name in list(devices):
            head = self._kinds[name].head
            if head in devices:
                path = devices.pop(name)
                total = paths.setdefault(head, {})
                for counter, rate in path.items():
                    total[counter] = total.get(counter, 0.0) + rate
        for head, total in paths.items():
            for counter, rate in total.items():
                devices[head][counter] = max(devices[head].get(counter, 0.0), rate)
        return devices

    def _kind(self, name: str) -> Kind:
        # sysfs writes a slash as "!". Only whole devices have a folder.
        folder = self._block / name.replace("/", "!")
        is_stacked = any((folder / "slaves").glob("*"))
        if name.startswith(VIRTUAL) or is_stacked or not folder.exists():
            return Kind(is_counted=False)
        path = NVME_PATH.fullmatch(name)
        return Kind(is_counted=True, head=path and path[1] + path[2])


def _add_up(snapshot: PerformanceSnapshot, device: Device) -> None:
    if (rate := device.get("read_bytes")) is not None:
        snapshot.disk_read_bytes_per_second += rate
    if (rate := device.get("write_bytes")) is not None:
        snapshot.disk_write_bytes_per_second += rate
    if (rate := device.get("read_count")) is not None:
        snapshot.disk_reads_per_second += rate
    if (rate := device.get("write_count")) is not None:
        snapshot.disk_writes_per_second += rate


def _report(snapshot: PerformanceSnapshot, name: str, device: Device) -> None:
    stats = snapshot.block_devices.add(device=name)
    if (rate := device.get("read_bytes")) is not None:
        stats.read_bytes_per_second = rate
    if (rate := device.get("write_bytes")) is not None:
        stats.write_bytes_per_second = rate
    if (rate := device.get("read_count")) is not None:
        stats.reads_per_second = rate
    if (rate := device.get("write_count")) is not None:
        stats.writes_per_second = rate
