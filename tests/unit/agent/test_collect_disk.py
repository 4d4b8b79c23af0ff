import os
import threading
from pathlib import Path

import pytest

from agent.collect import disk
from agent.collect.disk import Disk, Mount, read_mounts
from agent.collect.disk_io import DiskIo
from flotilla.v1.metrics_pb2 import BlockDeviceStats, PerformanceSnapshot
from tests.unit.agent.host import Host

MOUNTINFO = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
24 27 0:6 / /dev rw - devtmpfs devtmpfs rw
25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
31 27 254:1 /srv/www /var/www rw - ext4 /dev/vda1 rw
32 27 254:16 / /mnt/big\040disk rw - xfs /dev/vdb rw
33 27 254:16 / /again rw - xfs /dev/vdb rw
34 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro
35 27 0:50 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
36 27 0:51 / /mnt/nas rw - nfs4 nas:/export rw
37 27 0:52 / /mnt/share rw - cifs //nas/share rw
38 27 0:53 / /tank rw - zfs tank rw
39 27 0:54 / /tank/home rw - zfs tank/home rw
40 27 0:55 /@home /home rw - btrfs /dev/vdc rw
41 27 0:55 /@ /btrfs rw - btrfs /dev/vdc rw
42 27 254:32 / /covered rw - ext4 /dev/vdd rw
43 42 0:60 / /covered rw - tmpfs tmpfs rw
"""


def test_mounts_are_real_file_systems_and_each_device_once() -> None:
    assert read_mounts(MOUNTINFO) == [
        Mount("/", "/dev/vda1", "ext4"),
        Mount("/again", "/dev/vdb", "xfs"),
        Mount("/home", "/dev/vdc", "btrfs"),
        Mount("/tank", "tank", "zfs"),
    ]


def test_a_mount_points_spaces_are_unescaped() -> None:
    line = r"32 27 254:16 / /mnt/big\040disk rw - xfs /dev/vdb rw"

    assert read_mounts(line) == [Mount("/mnt/big disk", "/dev/vdb", "xfs")]


def mounted(host: Host, *points: Path) -> None:
    lines = [
        f"{number} 1 254:{number} / {point} rw - ext4 /dev/vd{number} rw"
        for number, point in enumerate(points)
    ]
    host.write("proc/self/mountinfo", "\n".join(lines) + "\n")


def test_usage_is_the_file_systems_own(host: Host) -> None:
    mounted(host, host.root)
    snapshot = PerformanceSnapshot()

    Disk(host.proc).collect(snapshot, 1.0)

    answer = os.statvfs(host.root)
    (usage,) = snapshot.disks
    assert usage.total_bytes == answer.f_blocks * answer.f_frsize
    used = (answer.f_blocks - answer.f_bfree) * answer.f_frsize
    assert usage.used_bytes == pytest.approx(used, rel=0.05)


def test_a_mount_that_is_gone_is_left_out_and_the_others_stay(host: Host) -> None:
    mounted(host, host.root / "gone", host.root)
    snapshot = PerformanceSnapshot()

    Disk(host.proc).collect(snapshot, 1.0)

    assert [usage.mount_point for usage in snapshot.disks] == [str(host.root)]


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
    points(1.0 + disk.PATIENCE)
    points(1.0 + disk.PERIOD)

    assert points(3.0 + disk.PERIOD) == [str(healthy)]
    release.set()


def diskstats(host: Host, *rows: str) -> None:
    host.write("proc/diskstats", "".join(f"{row}\n" for row in rows))


def row(name: str, reads: int, read_sectors: int, writes: int, written_sectors: int) -> str:
    return f" 254 0 {name} {reads} 0 {read_sectors} 9 {writes} 0 {written_sectors} 9 0 9 9 0 0 0 0"


def collect(collector: DiskIo, now: float) -> PerformanceSnapshot:
    snapshot = PerformanceSnapshot()
    collector.collect(snapshot, now)
    return snapshot


def test_disk_io_is_of_whole_devices_and_counts_nothing_twice(host: Host) -> None:
    for name in ("vda", "vdb", "loop0", "dm-0", "md0", "zram0", "sr0"):
        (host.sys / "block" / name).mkdir(parents=True)
    names = ("vda", "vda1", "vdb", "loop0", "dm-0", "md0", "zram0", "sr0")
    collector = DiskIo(host.proc, host.sys)
    diskstats(host, *(row(name, 0, 0, 0, 0) for name in names))
    first = collect(collector, 10.0)
    diskstats(host, *(row(name, 10, 2_000, 20, 4_000) for name in names))

    second = collect(collector, 12.0)

    assert first == PerformanceSnapshot(
        block_devices=[BlockDeviceStats(device="vda"), BlockDeviceStats(device="vdb")]
    )
    assert [device.device for device in second.block_devices] == ["vda", "vdb"]
    assert second.block_devices[0].read_bytes_per_second == 1_000 * 512
    assert second.disk_read_bytes_per_second == 2_000 * 512
    assert second.disk_write_bytes_per_second == 4_000 * 512
    assert second.disk_reads_per_second == 10
    assert second.disk_writes_per_second == 20


def test_a_disk_counter_that_wraps_gives_no_rate(host: Host) -> None:
    (host.sys / "block/vda").mkdir(parents=True)
    collector = DiskIo(host.proc, host.sys)
    diskstats(host, row("vda", 2**32 - 1, 100, 5, 2**32 - 8))
    collect(collector, 10.0)
    diskstats(host, row("vda", 4, 300, 6, 8))

    snapshot = collect(collector, 12.0)

    assert not snapshot.HasField("disk_write_bytes_per_second")
    assert not snapshot.HasField("disk_reads_per_second")
    assert not snapshot.block_devices[0].HasField("write_bytes_per_second")
    assert snapshot.disk_read_bytes_per_second == 100 * 512


def test_a_name_with_a_slash_is_found_in_sysfs(host: Host) -> None:
    (host.sys / "block/cciss!c0d0").mkdir(parents=True)
    diskstats(host, row("cciss/c0d0", 1, 1, 1, 1))

    snapshot = collect(DiskIo(host.proc, host.sys), 1.0)

    assert [device.device for device in snapshot.block_devices] == ["cciss/c0d0"]
