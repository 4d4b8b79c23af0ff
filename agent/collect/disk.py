import dataclasses
import logging
import os
import re
import threading
from pathlib import Path

from flotilla.v1.metrics_pb2 import PerformanceSnapshot

log = logging.getLogger(__name__)

# File systems that keep data on this host. Network file systems are left out: their
# space is not the host's, and a dead server would hang whoever asks.
FILESYSTEMS = frozenset(
    {"bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfsplus", "jfs"}
    | {"nilfs2", "ntfs", "ntfs3", "reiserfs", "simfs", "ufs", "vfat", "xfs", "zfs"}
)
PERIOD = 10.0  # seconds between readings
PATIENCE = 5.0  # seconds, after which a mount that does not answer is left alone
FIRST_WAIT = 0.5  # seconds that the first snapshot may wait for its disks
MOUNT_LIMIT = 128
TEXT_LIMIT = 512  # characters; the server takes no more


@dataclasses.dataclass(frozen=True, slots=True)
class Mount:
    point: str
    device: str
    filesystem: str


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    mount: Mount
    total: int
    used: int


class Reading(threading.Thread):
    """Asks each mount in turn; a disk that is gone hangs this thread and nothing else."""

    def __init__(self, mounts: list[Mount]) -> None:
        # A daemon, or a hung one would keep the process from ending.
        super().__init__(name="disk", daemon=True)
        self.mounts = mounts
        self.asking: Mount | None = None
        self.usages: list[Usage] = []

    def run(self) -> None:
        for mount in self.mounts:
            self.asking = mount
            try:
                answer = os.statvfs(mount.point)
            except OSError as error:
                log.debug("%s: %s", mount.point, error.strerror)
                continue
            used = (answer.f_blocks - answer.f_bfree) * answer.f_frsize
            if answer.f_blocks:
                self.usages.append(Usage(mount, answer.f_blocks * answer.f_frsize, used))
        self.asking = None


class Disk:
    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._path = proc / "self/mountinfo"
        self._reading: Reading | None = None
        self._started = 0.0
        self._hung: dict[Mount, Reading] = {}
        self._usages: list[Usage] = []

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:
        first = not self._started
        self._finish(now)
        if self._reading is None and (first or now >= self._started + PERIOD):
            self._hung = {mount: who for mount, who in self._hung.items() if who.is_alive()}
            mounts = read_mounts(self._path.read_text(encoding="utf-8", errors="replace"))
            self._reading = Reading([mount for mount in mounts if mount not in self._hung])
            self._started = now
            self._reading.start()
            if first:
                self._reading.join(FIRST_WAIT)
                self._finish(now)
        for usage in self._usages:
            snapshot.disks.add(
                mount_point=usage.mount.point[:TEXT_LIMIT],
                device=usage.mount.device[:TEXT_LIMIT],
                filesystem=usage.mount.filesystem,
                total_bytes=usage.total,
                used_bytes=usage.used,
            )

    def _finish(self, now: float) -> None:
        reading = self._reading
        if reading is None:
            return
        if reading.is_alive():
            if now < self._started + PATIENCE:
                return
            if mount := reading.asking:
                log.warning("%s does not answer; its usage is not reported", mount.point)
                self._hung[mount] = reading
        self._usages = list(reading.usages)
        self._reading = None


def read_mounts(mountinfo: str) -> list[Mount]:
    """Each device once, at the mount that shows the most of it; format: proc(5)."""
    # What is mounted later hides what was mounted on the same point before.
    visible = {line.split(maxsplit=5)[4]: line for line in mountinfo.splitlines()}
    mounts: dict[str, Mount] = {}
    for line in sorted(visible.values(), key=_narrowness):
        point, device, filesystem = _fields(line)
        if filesystem in FILESYSTEMS and len(mounts) < MOUNT_LIMIT:
            # All data sets of a ZFS pool share its space.
            whole = device.partition("/")[0] if filesystem == "zfs" else device
            mounts.setdefault(whole, Mount(point, device, filesystem))
    return sorted(mounts.values(), key=lambda mount: mount.point)


def _narrowness(line: str) -> tuple[bool, int]:
    _, _, _, root, point, *_ = line.split(maxsplit=5)
    # A bind mount shows a folder inside the device and is the second choice.
    return root != "/", len(point)


def _fields(line: str) -> tuple[str, str, str]:
    mounted, _, source = line.partition(" - ")
    filesystem, device, *_ = source.split()
    return _unescape(mounted.split()[4]), _unescape(device), filesystem


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
