import dataclasses
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from agent.collect.kernel.mounts import Mount, read_mounts
from agent.collect.omissions import omit, omit_more, readable
from flotilla.v1.metrics_pb2 import OmittedItem, PerformanceSnapshot

PERIOD = 10.0  # seconds between readings
READING_TIMEOUT = 5.0  # seconds; then the mount that does not answer is skipped
FIRST_WAIT = 0.5  # seconds that the first snapshot waits for its disks
DISK_LIMIT = 128
TEXT_LIMIT = 512  # characters; the server refuses longer texts
MAX_BYTES = (1 << 63) - 1  # of the server's database
SAME_NUMBERS = 1_000  # two readings of one file system differ by less than this part of it


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of a file system. `total` is the used space and the space free for ordinary users."""

    mount: Mount
    total: int
    used: int
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class Omission:
    """A mount that is not reported."""

    point: str
    reason: OmittedItem.Reason.ValueType
    detail: str


class ImpossibleError(ValueError):
    """The numbers of a file system cannot be true."""


class Reading(threading.Thread):
    """Reads the usage of each mount in turn; a mount that hangs blocks only this thread."""

    def __init__(self, mounts: list[Mount]) -> None:
        # A thread that is not a daemon would keep the process alive while it hangs.
        super().__init__(name="disk", daemon=True)
        self.mounts = mounts
        self.current: Mount | None = None
        self.usages: list[Usage] = []
        self.omissions: list[Omission] = []

    def run(self) -> None:
        for mount in self.mounts:
            self.current = mount
            points = (mount.point, *mount.data_sets)
            usages = [usage for point in points if (usage := self._read(mount, point))]
            if usages:
                self.usages.append(_sum(usages))
        self.current = None

    def _read(self, mount: Mount, point: str) -> Usage | None:
        try:
            usage = _usage(mount, os.statvfs(point))
        except ImpossibleError as error:
            self._omit(point, OmittedItem.REASON_IMPOSSIBLE, str(error))
        except OSError as error:
            self._omit(point, OmittedItem.REASON_UNREADABLE, error.strerror or str(error))
        else:
            return usage if usage.size else None
        return None

    def _omit(self, point: str, reason: OmittedItem.Reason.ValueType, detail: str) -> None:
        self.omissions.append(Omission(point, reason, detail))


class Disk:
    """Reports the usage of local file systems, read in a thread every `PERIOD` seconds.

    psutil.disk_usage() would make the same statvfs() call. agent/collect/kernel/mounts.py explains why
    psutil does not list the mounts.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._path = proc / "self/mountinfo"
        self._reading: Reading | None = None
        self._started = 0.0
        self._hung: dict[Mount, Reading] = {}  # mounts whose reading has not returned
        self._usages: list[Usage] = []
        self._omissions: list[Omission] = []

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:
        first = not self._started
        self._finish(now)
        if self._reading is None and (first or now >= self._started + PERIOD):
            self._reading = Reading(self._to_read())
            self._started = now
            self._reading.start()
            if first:
                self._reading.join(FIRST_WAIT)
                self._finish(now)
        for usage in self._usages[:DISK_LIMIT]:
            snapshot.disks.add(
                mount_point=readable(usage.mount.point)[:TEXT_LIMIT],
                device=readable(usage.mount.device)[:TEXT_LIMIT],
                filesystem=usage.mount.filesystem,
                total_bytes=usage.total,
                used_bytes=usage.used,
            )
        self._say_what_is_left_out(snapshot)

    def _to_read(self) -> list[Mount]:
        self._hung = {mount: reading for mount, reading in self._hung.items() if reading.is_alive()}
        # Mount points can hold any bytes.
        mounts = read_mounts(self._path.read_bytes().decode("utf-8", "surrogateescape"))
        return [mount for mount in mounts if mount not in self._hung]

    def _finish(self, now: float) -> None:
        reading = self._reading
        if reading is None:
            return
        if reading.is_alive():
            if now < self._started + READING_TIMEOUT:
                return
            if mount := reading.current:
                self._hung[mount] = reading
        self._usages = list(_distinct(list(reading.usages)))
        self._omissions = list(reading.omissions)
        self._reading = None

    def _say_what_is_left_out(self, snapshot: PerformanceSnapshot) -> None:
        for omission in self._omissions:
            omit(snapshot, "disk", omission.point, omission.reason, omission.detail)
        for mount in self._hung:
            detail = f"no answer for {READING_TIMEOUT:g} s"
            omit(snapshot, "disk", mount.point, OmittedItem.REASON_NO_ANSWER, detail)
        omit_more(snapshot, "disk", len(self._usages), DISK_LIMIT)


def _usage(mount: Mount, status: os.statvfs_result) -> Usage:
    """Return the numbers of one mount.

    Raises:
        ImpossibleError: the numbers cannot be true.
    """
    size, free, available = (
        blocks * status.f_frsize for blocks in (status.f_blocks, status.f_bfree, status.f_bavail)
    )
    if free > size:
        raise ImpossibleError(f"{free} bytes are free of {size}")
    # The file system can keep some of its free space for root.
    total = size - free + available
    if max(size, total) > MAX_BYTES:
        raise ImpossibleError(f"it has {max(size, total)} bytes")
    return Usage(mount, total, size - free, size)


def _sum(usages: list[Usage]) -> Usage:
    """Add up data sets that share their free space, of which the largest value counts."""
    used = sum(usage.used for usage in usages)
    left = max(usage.total - usage.used for usage in usages)
    return Usage(usages[0].mount, used + left, used, max(usage.size for usage in usages))


def _distinct(usages: list[Usage]) -> Iterable[Usage]:
    """Leave out file systems whose numbers the root file system reports too.

    An overlay or a share of the host reports the numbers of the disk below it. Parts of this disk
    can be mounted as well, such as /etc/hosts in a container.
    """
    root = next((usage for usage in usages if usage.mount.point == "/"), None)
    if root is None or not root.mount.is_on_another:
        return usages
    return (usage for usage in usages if usage is root or not _same_numbers(usage, root))


def _same_numbers(one: Usage, other: Usage) -> bool:
    return one.size == other.size and abs(one.used - other.used) * SAME_NUMBERS <= one.size
