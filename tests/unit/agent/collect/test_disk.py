import os
import subprocess
import threading
from pathlib import Path

import pytest

from agent.collect import disk
from agent.collect.disk import Disk
from flotilla.v1.metrics_pb2 import OmittedItem, PerformanceSnapshot
from tests.fixtures.agent.fake_host import Host


def mounted(host: Host, *points: Path) -> None:
    lines = [
        f"{number} 1 254:{number} / {point} rw - ext4 /dev/vd{number} rw"
        for number, point in enumerate(points)
    ]
    host.write("proc/self/mountinfo", "\n".join(lines) + "\n")


class Disks:
    """File systems with given numbers of 4 KiB blocks: all, free, available."""

    def __init__(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        self._host = host
        self._lines: list[str] = []
        self._answers: dict[bytes, tuple[int, int, int] | OSError] = {}
        monkeypatch.setattr(os, "statvfs", self._statvfs)

    def add(
        self,
        point: bytes,
        answer: tuple[int, int, int] | OSError,
        filesystem: str = "ext4",
        device: str = "",
    ) -> None:
        number = len(self._lines)
        major = 8 if filesystem in {"ext4", "xfs"} else 0
        source = device or f"/dev/sd{number}"
        written = os.fsdecode(point).replace(" ", "\\040")
        line = f"{20 + number} 1 {major}:{number} / {written} rw - {filesystem} {source} rw"
        self._lines.append(line)
        self._answers[point] = answer

    def _statvfs(self, point: str) -> os.statvfs_result:
        answer = self._answers[os.fsencode(point)]
        if isinstance(answer, OSError):
            raise answer
        return os.statvfs_result((4096, 4096, *answer, 0, 0, 0, 0, 255))

    def collect(self) -> PerformanceSnapshot:
        path = self._host.proc / "self/mountinfo"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.fsencode("".join(f"{line}\n" for line in self._lines)))
        snapshot = PerformanceSnapshot()
        Disk(self._host.proc).collect(snapshot, 1.0)
        snapshot.SerializeToString()
        return snapshot


@pytest.fixture
def disks(host: Host, monkeypatch: pytest.MonkeyPatch) -> Disks:
    return Disks(host, monkeypatch)


def usage(snapshot: PerformanceSnapshot) -> list[tuple[str, int, int]]:
    """Return mount point, used and total blocks of each disk."""
    return [
        (disk.mount_point, disk.used_bytes // 4096, disk.total_bytes // 4096)
        for disk in snapshot.disks
    ]


def test_usage_agrees_with_df(host: Host) -> None:
    mounted(host, host.root)
    snapshot = PerformanceSnapshot()

    Disk(host.proc).collect(snapshot, 1.0)

    (disk,) = snapshot.disks
    row = subprocess.run(
        ["df", "-B1", "--output=used,avail", host.root], capture_output=True, check=True, text=True
    ).stdout.splitlines()[1]
    used, available = map(int, row.split())
    assert disk.used_bytes == pytest.approx(used, rel=0.05)
    assert disk.total_bytes == pytest.approx(used + available, rel=0.05)


def test_space_reserved_for_root_is_not_part_of_the_total(disks: Disks) -> None:
    disks.add(b"/", (1000, 60, 10))
    disks.add(b"/full", (1000, 50, 0))
    disks.add(b"/empty", (1000, 1000, 950))

    assert usage(disks.collect()) == [("/", 940, 950), ("/empty", 0, 950), ("/full", 950, 950)]


def test_the_data_sets_of_a_pool_are_added_up(disks: Disks) -> None:
    disks.add(b"/cache", (508, 508, 508), "zfs", "cache")
    disks.add(b"/cache/appdata", (808, 508, 508), "zfs", "cache/appdata")
    disks.add(b"/cache/media", (4988, 508, 508), "zfs", "cache/media")
    disks.add(b"/other", (8, 2, 2), "zfs", "other/box")

    assert usage(disks.collect()) == [("/cache", 4780, 5288), ("/other", 6, 8)]


def test_a_data_set_with_a_quota_has_less_left_than_its_pool(disks: Disks) -> None:
    disks.add(b"/", (69, 60, 60), "zfs", "rpool/ROOT")
    disks.add(b"/box", (100, 1, 1), "zfs", "rpool/box")

    assert usage(disks.collect()) == [("/", 108, 168)]


def test_a_data_set_that_cannot_be_read_leaves_the_rest_of_its_pool(disks: Disks) -> None:
    disks.add(b"/", (69, 60, 60), "zfs", "rpool/ROOT")
    disks.add(b"/box", PermissionError(13, "Permission denied"), "zfs", "rpool/box")

    snapshot = disks.collect()

    assert usage(snapshot) == [("/", 9, 69)]
    assert [each.item for each in snapshot.omitted] == ["/box"]


LEFT_OUT = {
    "more free than there is": (
        (0xEE59D67, 0x153C1EAC, 0x153C1EAC),
        OmittedItem.REASON_IMPOSSIBLE,
        f"{0x153C1EAC * 4096} bytes are free of {0xEE59D67 * 4096}",
    ),
    "9 EiB": ((2**51 + 2**48, 2**51, 1), OmittedItem.REASON_IMPOSSIBLE, "it has 1037"),
    "a closed folder": (
        PermissionError(13, "Permission denied"),
        OmittedItem.REASON_UNREADABLE,
        "Permission denied",
    ),
    "a disk that is gone": (
        FileNotFoundError(2, "No such file or directory"),
        OmittedItem.REASON_UNREADABLE,
        "No such file or directory",
    ),
    "a disk with errors": (OSError(5, "I/O error"), OmittedItem.REASON_UNREADABLE, "I/O error"),
}


@pytest.mark.parametrize(("answer", "reason", "detail"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_disk_that_is_left_out_is_named_and_the_others_stay(
    disks: Disks,
    answer: tuple[int, int, int] | OSError,
    reason: OmittedItem.Reason.ValueType,
    detail: str,
) -> None:
    disks.add(b"/", (10, 4, 4))
    disks.add(b"/data", answer, "xfs")
    disks.add(b"/home", (10, 4, 4))

    snapshot = disks.collect()

    assert usage(snapshot) == [("/", 6, 10), ("/home", 6, 10)]
    (omitted,) = snapshot.omitted
    assert (omitted.collector, omitted.item, omitted.reason) == ("disk", "/data", reason)
    assert omitted.detail.startswith(detail)


def test_a_file_system_without_blocks_is_no_disk(disks: Disks) -> None:
    disks.add(b"/", (10, 4, 4))
    disks.add(b"/data", (0, 0, 0))

    snapshot = disks.collect()

    assert usage(snapshot) == [("/", 6, 10)]
    assert not snapshot.omitted


def test_a_container_shows_the_disk_that_it_is_on_once(disks: Disks) -> None:
    disks.add(b"/", (1000, 400, 350), "overlay", "overlay")
    disks.add(b"/etc/hosts", (1000, 400, 350))
    disks.add(b"/data", (1000, 700, 650))

    assert usage(disks.collect()) == [("/", 600, 950), ("/data", 300, 950)]


def test_two_disks_with_the_same_numbers_are_two_disks(disks: Disks) -> None:
    for point in (b"/", b"/a", b"/b"):
        disks.add(point, (1000, 1000, 950))

    assert len(usage(disks.collect())) == 3


@pytest.mark.parametrize(
    ("name", "reported"),
    [
        (b"/donn\xe9es", "/donn\ufffdes"),
        ("/数据\u3000盘".encode(), "/数据\u3000盘"),
        (b"/a\x0cb", "/a\x0cb"),
        ("/a\u0085b".encode(), "/a\u0085b"),
    ],
)
def test_a_mount_point_is_reported_whatever_its_bytes(
    disks: Disks, name: bytes, reported: str
) -> None:
    disks.add(b"/", (10, 4, 4))
    disks.add(name, (10, 5, 5))

    assert usage(disks.collect()) == [("/", 6, 10), (reported, 5, 10)]


def test_a_mount_that_hangs_delays_neither_the_sampler_nor_the_other_mounts(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, healthy = host.root / "a", host.root / "b"
    mounted(host, hanging, healthy)
    release = threading.Event()
    statvfs = os.statvfs

    def hang(point: str) -> os.statvfs_result:
        if point == str(hanging):
            release.wait(30)
        return statvfs(host.root)

    monkeypatch.setattr(os, "statvfs", hang)
    monkeypatch.setattr(disk, "FIRST_WAIT", 0.01)
    collector = Disk(host.proc)

    def points(now: float) -> list[str]:
        snapshot = PerformanceSnapshot()
        collector.collect(snapshot, now)
        if collector._reading and now >= 11:
            collector._reading.join(10)
        return [usage.mount_point for usage in snapshot.disks]

    points(1.0)
    points(1.0 + disk.READING_TIMEOUT)
    points(1.0 + disk.PERIOD)

    assert points(3.0 + disk.PERIOD) == [str(healthy)]
    release.set()
