import pytest

from agent.collect.disk_io import DEVICE_LIMIT, DiskIo
from flotilla.v1.metrics_pb2 import BlockDeviceStats, PerformanceSnapshot
from tests.fixtures.agent.fake_host import Host


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


# Devices with the MiB that they wrote, the devices below them, and the sum in MiB/s.
STACKS: dict[str, tuple[dict[str, int], dict[str, list[str]], float]] = {
    "NVMe with partitions": ({"nvme0n1": 1, "nvme0n1p1": 1}, {"nvme0n1": []}, 1),
    "LVM on a mirror": (
        {"sda": 1, "sdb": 1, "md0": 1, "dm-0": 1},
        {"sda": [], "sdb": [], "md0": ["sda", "sdb"], "dm-0": ["md0"]},
        2,
    ),
    "bcache": (
        {"sda": 1, "nvme0n1": 0, "bcache0": 1},
        {"sda": [], "nvme0n1": [], "bcache0": ["sda", "nvme0n1"]},
        1,
    ),
    "a driver that stacks and that nobody has heard of": (
        {"sda": 1, "cachefast3": 1},
        {"sda": [], "cachefast3": ["sda"]},
        1,
    ),
    "a volume of ZFS": ({"sda": 1, "zd16": 1}, {"sda": [], "zd16": []}, 1),
    "NVMe: path and head count": (
        {"nvme0c0n1": 1, "nvme0n1": 1},
        {"nvme0c0n1": [], "nvme0n1": []},
        1,
    ),
    "NVMe: the path alone counts": (
        {"nvme0c0n1": 1, "nvme0n1": 0},
        {"nvme0c0n1": [], "nvme0n1": []},
        1,
    ),
    "NVMe: two paths, and the head": (
        {"nvme1c0n2": 1, "nvme1c1n2": 2, "nvme1n2": 3, "nvme0n1": 1},
        {"nvme1c0n2": [], "nvme1c1n2": [], "nvme1n2": [], "nvme0n1": []},
        4,
    ),
    "NVMe: a path without its head": ({"nvme0c0n1": 1}, {"nvme0c0n1": []}, 1),
    "a driver's own disk": ({"scinia": 1}, {"scinia": []}, 1),
    "a network disk": ({"rbd0": 1, "rbd0p1": 1}, {"rbd0": []}, 1),
    "eMMC": ({"mmcblk0": 1, "mmcblk0p2": 1}, {"mmcblk0": []}, 1),
}


@pytest.mark.parametrize(("written", "below", "mebibytes"), STACKS.values(), ids=STACKS)
def test_a_stack_of_devices_counts_once(
    host: Host, written: dict[str, int], below: dict[str, list[str]], mebibytes: float
) -> None:
    for name, lower in below.items():
        folder = host.sys / "block" / name / "slaves"
        folder.mkdir(parents=True)
        for each in lower:
            (folder / each).symlink_to(host.sys / "block" / each)
    collector = DiskIo(host.proc, host.sys)
    diskstats(host, *(row(name, 0, 0, 0, 0) for name in written))
    collect(collector, 10.0)
    diskstats(host, *(row(name, 0, 0, 0, count * 2048) for name, count in written.items()))

    snapshot = collect(collector, 11.0)

    assert snapshot.disk_write_bytes_per_second == mebibytes * 2**20


def test_devices_above_the_limit_are_added_up_and_said(host: Host) -> None:
    names = [f"sd{number}" for number in range(DEVICE_LIMIT + 4)]
    for name in names:
        (host.sys / "block" / name).mkdir(parents=True)
    collector = DiskIo(host.proc, host.sys)
    diskstats(host, *(row(name, 0, 0, 0, 0) for name in names))
    collect(collector, 10.0)
    diskstats(host, *(row(name, 1, 0, 0, 0) for name in names))

    snapshot = collect(collector, 11.0)

    assert len(snapshot.block_devices) == DEVICE_LIMIT
    assert snapshot.disk_reads_per_second == DEVICE_LIMIT + 4
    assert [each.detail for each in snapshot.omitted] == ["4 more than the limit of 256"]
