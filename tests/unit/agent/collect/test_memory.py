import psutil
import pytest

from agent.collect.memory import Memory
from flotilla.v1.metrics_pb2 import PerformanceSnapshot
from tests.fixtures.agent.fake_host import Host

MIB = 1 << 20


def collect(host: Host) -> PerformanceSnapshot:
    snapshot = PerformanceSnapshot()
    Memory(host.proc, host.sys).collect(snapshot, 0.0)
    return snapshot


def meminfo(host: Host, **kilobytes: int) -> None:
    host.write(
        "proc/meminfo", "".join(f"{name}: {value:>12} kB\n" for name, value in kilobytes.items())
    )


def test_memory_in_use_is_what_is_not_available(host: Host) -> None:
    meminfo(
        host,
        MemTotal=1000,
        MemFree=100,
        MemAvailable=600,
        Buffers=50,
        Cached=400,
        SwapCached=7,
        SwapTotal=500,
        SwapFree=200,
        SReclaimable=30,
    )

    assert collect(host) == PerformanceSnapshot(
        memory_total_bytes=1000 * 1024,
        memory_used_bytes=400 * 1024,
        memory_cached_bytes=480 * 1024,
        swap_total_bytes=500 * 1024,
        swap_used_bytes=300 * 1024,
    )


def test_memory_agrees_with_psutil_on_this_machine() -> None:
    expected = psutil.virtual_memory()
    snapshot = PerformanceSnapshot()

    Memory().collect(snapshot, 0.0)

    # The tests may run in a container with a limit.
    assert snapshot.memory_total_bytes <= expected.total
    if snapshot.memory_total_bytes == expected.total:
        used = expected.total - expected.available
        assert snapshot.memory_used_bytes == pytest.approx(used, rel=0.2)
    assert snapshot.swap_total_bytes <= psutil.swap_memory().total


# Fields of /proc/meminfo in kB, and what is used, in kB.
SYSTEMS = {
    "nothing is available": ({"MemFree": 42_168, "MemAvailable": 0, "Cached": 611_336}, 1_000_000),
    "almost nothing is available": ({"MemFree": 5, "MemAvailable": 4}, 999_996),
    "a kernel without MemAvailable": (
        {"MemFree": 100_000, "Buffers": 50_000, "Cached": 400_000, "SReclaimable": 30_000},
        420_000,
    ),
    "shared memory cannot be given back": (
        {"MemFree": 100_000, "Cached": 400_000, "Shmem": 300_000},
        800_000,
    ),
    "OpenVZ: Cached does not contain Shmem": (
        {"MemFree": 400_000, "Cached": 20_000, "Shmem": 60_000, "SReclaimable": 400_000},
        180_000,
    ),
    "LXC: the host's MemAvailable": (
        {"MemFree": 500_000, "MemAvailable": 1_300_000, "Cached": 200_000, "Shmem": 1_000},
        301_000,
    ),
    "LXC: more is free than there is": ({"MemFree": 1_100_000}, 0),
    "lines of other kinds": (
        {"MemFree": 1, "MemAvailable": 600_000, "HugePages_Total": 0},
        400_000,
    ),
}


@pytest.mark.parametrize(("fields", "used"), SYSTEMS.values(), ids=SYSTEMS)
def test_memory_in_use_on_odd_systems(host: Host, fields: dict[str, int], used: int) -> None:
    meminfo(host, MemTotal=1_000_000, **fields)

    assert collect(host).memory_used_bytes == used * 1024


def arcstats(host: Host, **fields: int) -> None:
    lines = [f"{name:<31} 4    {value}\n" for name, value in fields.items()]
    head = "9 1 0x01 98 26656 5004937 168124592\nname                            type data\n"
    host.write("proc/spl/kstat/zfs/arcstats", head + "".join(lines))


# Counters of the cache of ZFS, and what is used on a host with 8192 MiB, of which 4096 are available.
ARCS = {
    "all above the minimum is given back": ({"size": 3072, "c_min": 256, "c_max": 4096}, 1280),
    "at its minimum": ({"size": 256, "c_min": 256, "c_max": 4096}, 4096),
    "below its minimum": ({"size": 100, "c_min": 256, "c_max": 4096}, 4096),
    "without fields": ({}, 4096),
    "the host's, seen in a container": (
        {"size": 3072, "c_min": 256, "c_max": 4096, "memory_all_bytes": 65536},
        4096,
    ),
    "larger than a container": ({"size": 20000, "c_min": 256, "c_max": 32768}, 4096),
}


@pytest.mark.parametrize(("arc", "used"), ARCS.values(), ids=ARCS)
def test_the_cache_of_zfs_is_not_in_use(host: Host, arc: dict[str, int], used: int) -> None:
    meminfo(host, MemTotal=8192 * 1024, MemFree=1024, MemAvailable=4096 * 1024)
    arcstats(host, **{name: value * MIB for name, value in arc.items()})

    assert collect(host).memory_used_bytes == used * MIB


@pytest.mark.parametrize("text", ["", "MemFree: 5 kB\n", "MemTotal: - kB\n", "\0\n\n"])
def test_a_meminfo_without_a_total_is_an_error(host: Host, text: str) -> None:
    host.write("proc/meminfo", text)

    with pytest.raises(ValueError, match="has no MemTotal"):
        collect(host)


V1_MOUNT = "35 31 0:32 {root} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
V2_MOUNT = "35 31 0:32 {root} /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"


def v1(host: Host, folder: str, limit: int) -> None:
    """Write a cgroup that uses 300 MiB, of which 100 are inactive pages of files."""
    path = f"sys/fs/cgroup/memory{folder}"
    host.write(f"{path}/memory.limit_in_bytes", f"{limit}\n")
    host.write(f"{path}/memory.usage_in_bytes", f"{300 * MIB}\n")
    stat = f"cache 1\ntotal_cache {120 * MIB}\ntotal_inactive_file {100 * MIB}\n"
    host.write(f"{path}/memory.stat", stat)


def v2(host: Host, folder: str, limit: str) -> None:
    path = f"sys/fs/cgroup{folder}"
    host.write(f"{path}/memory.max", f"{limit}\n")
    host.write(f"{path}/memory.current", f"{300 * MIB}\n")
    host.write(f"{path}/memory.stat", f"file {120 * MIB}\ninactive_file {100 * MIB}\n")
    host.write(f"{path}/memory.swap.max", f"{64 * MIB}\n")
    host.write(f"{path}/memory.swap.current", f"{16 * MIB}\n")


def cgroup(host: Host, mount: str, own: str, root: str = "/") -> None:
    meminfo(host, MemTotal=8192 * 1024, MemAvailable=2048 * 1024, SwapTotal=1024 * 1024)
    host.write("proc/self/mountinfo", mount.format(root=root))
    host.write("proc/self/cgroup", own)


def test_a_containers_limit_is_its_memory(host: Host) -> None:
    cgroup(host, V1_MOUNT, "5:cpu:/x\n4:memory:/box\n0::/\n")
    v1(host, "/box", 512 * MIB)
    v1(host, "", 9223372036854771712)

    snapshot = collect(host)

    assert snapshot.memory_total_bytes == 512 * MIB
    assert snapshot.memory_used_bytes == 200 * MIB
    assert snapshot.memory_cached_bytes == 120 * MIB


def test_a_container_with_a_cgroup_namespace_sees_its_limit_at_the_top(host: Host) -> None:
    cgroup(host, V2_MOUNT, "0::/\n")
    v2(host, "", str(512 * MIB))

    snapshot = collect(host)

    assert (snapshot.memory_total_bytes, snapshot.memory_used_bytes) == (512 * MIB, 200 * MIB)
    assert (snapshot.swap_total_bytes, snapshot.swap_used_bytes) == (64 * MIB, 16 * MIB)


def test_a_container_without_a_cgroup_namespace_sees_its_limit_at_the_top(host: Host) -> None:
    own = "4:memory:/system.slice/docker-1f.scope\n"
    cgroup(host, V1_MOUNT, own, root="/system.slice/docker-1f.scope")
    v1(host, "", 512 * MIB)

    assert collect(host).memory_total_bytes == 512 * MIB


def test_the_smallest_limit_above_the_agent_counts(host: Host) -> None:
    cgroup(host, V2_MOUNT, "0::/tenant/box/inner\n")
    v2(host, "/tenant", str(2048 * MIB))
    v2(host, "/tenant/box", str(1024 * MIB))
    v2(host, "/tenant/box/inner", "max")

    assert collect(host).memory_total_bytes == 1024 * MIB


NO_LIMIT = {
    "a limit on the agent's service is not the host's": ("/system.slice/agent.service", 128),
    "a limit above the host's memory": ("/box", 1 << 20),
}


@pytest.mark.parametrize(("folder", "limit"), NO_LIMIT.values(), ids=NO_LIMIT)
def test_a_limit_of_something_else_changes_nothing(host: Host, folder: str, limit: int) -> None:
    cgroup(host, V2_MOUNT, f"0::{folder}\n")
    v2(host, folder, str(limit * MIB))

    snapshot = collect(host)

    assert snapshot.memory_total_bytes == 8192 * MIB
    assert snapshot.memory_used_bytes == 6144 * MIB
