from pathlib import Path

from agent.rate import Rates
from flotilla.v1.metrics_pb2 import PerformanceSnapshot

# Fixed by the kernel, whatever the device's own sector is.
SECTOR = 512  # bytes
# What these do is done again by the device beneath them, or by no device at all.
STACKED = ("dm-", "drbd", "fd", "loop", "md", "ram", "sr", "zram")
DEVICE_LIMIT = 256

READS, READ_SECTORS, WRITES, WRITTEN_SECTORS = 3, 5, 7, 9  # columns of /proc/diskstats


class DiskIo:
    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._path = proc / "diskstats"
        self._block = sys / "block"
        self._whole: dict[str, bool] = {}
        self._rates: Rates[tuple[str, int]] = Rates()

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:
        devices = self._read()
        rates = self._rates.update(
            {
                (name, column): int(columns[column])
                for name, columns in devices.items()
                for column in (READS, READ_SECTORS, WRITES, WRITTEN_SECTORS)
            },
            now,
        )
        for name in devices:
            stats = snapshot.block_devices.add(device=name)
            if (rate := rates.get((name, READ_SECTORS))) is not None:
                stats.read_bytes_per_second = rate * SECTOR
                snapshot.disk_read_bytes_per_second += rate * SECTOR
            if (rate := rates.get((name, WRITTEN_SECTORS))) is not None:
                stats.write_bytes_per_second = rate * SECTOR
                snapshot.disk_write_bytes_per_second += rate * SECTOR
            if (rate := rates.get((name, READS))) is not None:
                stats.reads_per_second = rate
                snapshot.disk_reads_per_second += rate
            if (rate := rates.get((name, WRITES))) is not None:
                stats.writes_per_second = rate
                snapshot.disk_writes_per_second += rate

    def _read(self) -> dict[str, list[str]]:
        devices: dict[str, list[str]] = {}
        whole: dict[str, bool] = {}
        for line in self._path.read_text().splitlines():
            columns = line.split()
            name = columns[2]
            known = self._whole.get(name)
            whole[name] = self._is_whole(name) if known is None else known
            if whole[name] and len(devices) < DEVICE_LIMIT:
                devices[name] = columns
        self._whole = whole
        return devices

    def _is_whole(self, name: str) -> bool:
        # Partitions have no folder of their own here; sysfs writes a slash as "!".
        return not name.startswith(STACKED) and (self._block / name.replace("/", "!")).exists()
