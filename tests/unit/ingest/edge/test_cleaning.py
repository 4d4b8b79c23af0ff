import math

import pytest

from flotilla.v1.docker_pb2 import (
    DockerContainerInfo,
    DockerInfoBatch,
    DockerMount,
    DockerPort,
    DockerSnapshot,
)
from flotilla.v1.metrics_pb2 import (
    BatchHeader,
    DiskUsage,
    DropReport,
    GenericMetric,
    GenericMetricsBatch,
    NetworkInterfaceStats,
    OmittedItem,
    PerformanceSnapshot,
    PerformanceSnapshotBatch,
    ProcessStats,
    Temperature,
)
from services.ingest.edge.cleaning import Flaw, clean

CONTAINER = "a" * 64
MAX_INTEGER = (1 << 63) - 1


def disk(mount_point: str, total: int, used: int = 0) -> DiskUsage:
    return DiskUsage(mount_point=mount_point, total_bytes=total, used_bytes=used)


def interface(name: str, received: int = 1, **rates: float) -> NetworkInterfaceStats:
    return NetworkInterfaceStats(name=name, receive_bytes_total=received, **rates)  # type: ignore[arg-type]


def process(pid: int, **values: object) -> ProcessStats:
    return ProcessStats(pid=pid, **{"name": "sh", "resident_bytes": 5} | values)  # type: ignore[arg-type]


# The snapshot as sent, the snapshot as stored, and the counted parts.
SNAPSHOTS: dict[
    str, tuple[PerformanceSnapshot, PerformanceSnapshot, dict[tuple[str, Flaw], int]]
] = {
    "nothing is wrong": (
        PerformanceSnapshot(load_1=1.5, memory_total_bytes=1 << 62, disks=[disk("/", 9, 9)]),
        PerformanceSnapshot(load_1=1.5, memory_total_bytes=1 << 62, disks=[disk("/", 9, 9)]),
        {},
    ),
    "not a number": (
        PerformanceSnapshot(load_1=math.nan, load_5=2.0),
        PerformanceSnapshot(load_5=2.0),
        {("load_1", Flaw.NOT_FINITE): 1},
    ),
    "infinity": (
        PerformanceSnapshot(load_1=math.inf, load_5=2.0),
        PerformanceSnapshot(load_5=2.0),
        {("load_1", Flaw.NOT_FINITE): 1},
    ),
    "a negative rate": (
        PerformanceSnapshot(network_receive_bytes_per_second=-1.0, load_5=2.0),
        PerformanceSnapshot(load_5=2.0),
        {("network_receive_bytes_per_second", Flaw.OUT_OF_RANGE): 1},
    ),
    "a counter below zero, unsigned": (
        PerformanceSnapshot(network_receive_bytes_total=(1 << 64) - 514, load_5=2.0),
        PerformanceSnapshot(load_5=2.0),
        {("network_receive_bytes_total", Flaw.OUT_OF_RANGE): 1},
    ),
    "a number above integer": (
        PerformanceSnapshot(processes=1 << 31, udp_connections=MAX_INTEGER >> 32),
        PerformanceSnapshot(udp_connections=MAX_INTEGER >> 32),
        {("processes", Flaw.OUT_OF_RANGE): 1},
    ),
    "an uptime of a century": (
        PerformanceSnapshot(uptime_seconds=1 << 31, load_5=2.0),
        PerformanceSnapshot(load_5=2.0),
        {("uptime_seconds", Flaw.OUT_OF_RANGE): 1},
    ),
    "processes with bad values": (
        PerformanceSnapshot(
            top_processes=[
                process(1, cpu_usage_percent=math.nan),
                process(2, cpu_usage_percent=-1.0),
                process(3, resident_bytes=1 << 63),
                process(4, name="x" * 513),
                process(5, user="a\0b"),
                process(0),
                process(1 << 31),
                process(6, cpu_usage_percent=250.0),
            ],
            load_5=2.0,
        ),
        PerformanceSnapshot(
            top_processes=[process(1), process(2), process(6, cpu_usage_percent=250.0)],
            load_5=2.0,
        ),
        {
            ("cpu_usage_percent", Flaw.NOT_FINITE): 1,
            ("cpu_usage_percent", Flaw.OUT_OF_RANGE): 1,
            ("top_processes", Flaw.OUT_OF_RANGE): 3,
            ("top_processes", Flaw.TEXT): 2,
        },
    ),
    "more processes than an agent sends": (
        PerformanceSnapshot(top_processes=[process(pid) for pid in range(1, 24)]),
        PerformanceSnapshot(top_processes=[process(pid) for pid in range(1, 21)]),
        {("top_processes", Flaw.TOO_MANY): 3},
    ),
    "more memory used than there is": (
        PerformanceSnapshot(memory_total_bytes=100, memory_used_bytes=101, swap_total_bytes=5),
        PerformanceSnapshot(memory_total_bytes=100, swap_total_bytes=5),
        {("memory_used_bytes", Flaw.INCONSISTENT): 1},
    ),
    "a core that is not a number": (
        PerformanceSnapshot(cpu_core_usage_percent=[1.0, math.nan], load_5=2.0),
        PerformanceSnapshot(load_5=2.0),
        {("cpu_core_usage_percent", Flaw.NOT_FINITE): 1},
    ),
    "too many cores": (
        PerformanceSnapshot(cpu_core_usage_percent=[1.0] * 1_030),
        PerformanceSnapshot(cpu_core_usage_percent=[1.0] * 1_024),
        {("cpu_core_usage_percent", Flaw.TOO_MANY): 6},
    ),
    "numbers of cores": (
        PerformanceSnapshot(cpu_cores_without_value=[1, 5], load_5=2.0),
        PerformanceSnapshot(cpu_cores_without_value=[1, 5], load_5=2.0),
        {},
    ),
    "too many disks": (
        PerformanceSnapshot(disks=[disk("/", 9)] * 1_025),
        PerformanceSnapshot(disks=[disk("/", 9)] * 1_024),
        {("disks", Flaw.TOO_MANY): 1},
    ),
    "a disk of 9 EiB": (
        PerformanceSnapshot(disks=[disk("/", 9, 1), disk("/data", 9 << 60), disk("/home", 5)]),
        PerformanceSnapshot(disks=[disk("/", 9, 1), disk("/home", 5)]),
        {("disks", Flaw.OUT_OF_RANGE): 1},
    ),
    "more free than there is": (
        PerformanceSnapshot(disks=[disk("/data", 9, (1 << 62)), disk("/home", 5)]),
        PerformanceSnapshot(disks=[disk("/home", 5)]),
        {("disks", Flaw.INCONSISTENT): 1},
    ),
    "disks whose sum is above bigint": (
        PerformanceSnapshot(disks=[disk("/", 1 << 62), disk("/a", 1 << 62), disk("/b", 5)]),
        PerformanceSnapshot(disks=[disk("/", 1 << 62), disk("/b", 5)]),
        {("disks", Flaw.OUT_OF_RANGE): 1},
    ),
    "names that cannot be stored": (
        PerformanceSnapshot(disks=[disk("/\0", 9), disk("/", 5), disk("d" * 513, 9)]),
        PerformanceSnapshot(disks=[disk("/", 5)]),
        {("disks", Flaw.TEXT): 2},
    ),
    "an interface's rate": (
        PerformanceSnapshot(interfaces=[interface("e0", receive_bytes_per_second=math.nan)]),
        PerformanceSnapshot(interfaces=[interface("e0")]),
        {("receive_bytes_per_second", Flaw.NOT_FINITE): 1},
    ),
    "an interface's counter": (
        PerformanceSnapshot(interfaces=[interface("e0", 1 << 63), interface("e1")]),
        PerformanceSnapshot(interfaces=[interface("e1")]),
        {("interfaces", Flaw.OUT_OF_RANGE): 1},
    ),
    "a temperature": (
        PerformanceSnapshot(temperatures=[Temperature(celsius=-math.inf), Temperature(celsius=-8)]),
        PerformanceSnapshot(temperatures=[Temperature(celsius=-8)]),
        {("temperatures", Flaw.NOT_FINITE): 1},
    ),
}


@pytest.mark.parametrize("case", SNAPSHOTS)
def test_a_bad_value_of_a_sample_leaves_its_neighbours(case: str) -> None:
    sent, kept, counted = SNAPSHOTS[case]
    batch = PerformanceSnapshotBatch(snapshots=[sent, PerformanceSnapshot(load_1=3.0)])
    assert clean(batch) == counted
    assert list(batch.snapshots) == [kept, PerformanceSnapshot(load_1=3.0)]


def container(**fields: object) -> DockerContainerInfo:
    return DockerContainerInfo(**{"id": CONTAINER} | fields)  # type: ignore[arg-type]


CONTAINERS: dict[
    str, tuple[DockerContainerInfo, DockerContainerInfo | None, dict[tuple[str, Flaw], int]]
] = {
    "Podman's unlimited memory": (
        container(memory_limit_bytes=(1 << 64) - 1, memory_usage_bytes=7),
        container(memory_usage_bytes=7),
        {("memory_limit_bytes", Flaw.OUT_OF_RANGE): 1},
    ),
    "a negative rate": (
        container(block_read_bytes_per_second=-5.0, memory_usage_bytes=7),
        container(memory_usage_bytes=7),
        {("block_read_bytes_per_second", Flaw.OUT_OF_RANGE): 1},
    ),
    "not a number": (
        container(cpu_usage_percent=math.nan, memory_usage_bytes=7),
        container(memory_usage_bytes=7),
        {("cpu_usage_percent", Flaw.NOT_FINITE): 1},
    ),
    "created after the end of time": (
        container(created_at_unix_ms=1 << 60, state="running"),
        container(state="running"),
        {("created_at_unix_ms", Flaw.TIME): 1},
    ),
    "a status that is too long": (
        container(status="s" * 513, state="running"),
        container(state="running"),
        {("status", Flaw.TEXT): 1},
    ),
    "one label and one name": (
        container(labels={"a": "x" * 4_097, "b": "x" * 4_096}, names=["w\0", "web"]),
        container(labels={"b": "x" * 4_096}, names=["web"]),
        {("labels", Flaw.TEXT): 1, ("names", Flaw.TEXT): 1},
    ),
    "one port and one mount": (
        container(
            ports=[DockerPort(host_ip="\0"), DockerPort(host_port=80)],
            mounts=[DockerMount(source="/a" * 3_000), DockerMount(source="/b")],
        ),
        container(ports=[DockerPort(host_port=80)], mounts=[DockerMount(source="/b")]),
        {("ports", Flaw.TEXT): 1, ("mounts", Flaw.TEXT): 1},
    ),
    "an id that is a path": (container(id="../etc"), None, {("containers", Flaw.NAME): 1}),
}


@pytest.mark.parametrize("case", CONTAINERS)
def test_a_bad_value_of_a_container_leaves_its_neighbours(case: str) -> None:
    sent, kept, counted = CONTAINERS[case]
    other = container(id="b" * 64)
    batch = DockerInfoBatch(snapshots=[DockerSnapshot(containers=[sent, other])])
    assert clean(batch) == counted
    assert list(batch.snapshots[0].containers) == ([kept] if kept else []) + [other]


@pytest.mark.parametrize(
    ("metric", "flaw"),
    [
        (GenericMetric(name="a b"), Flaw.NAME),
        (GenericMetric(name="a", value=-math.inf), Flaw.NOT_FINITE),
        (GenericMetric(name="a", labels={f"l{n}": "" for n in range(21)}), Flaw.TOO_MANY),
        (GenericMetric(name="a", labels={f"l{n}": "é" * 200 for n in range(3)}), Flaw.TEXT),
        (GenericMetric(name="a", labels={"l": "\0"}), Flaw.TEXT),
    ],
)
def test_a_bad_point_of_a_series_leaves_its_neighbours(metric: GenericMetric, flaw: Flaw) -> None:
    good = GenericMetric(name="queue.depth_1:a", labels={"host": "é"}, value=-1.0)
    batch = GenericMetricsBatch(metrics=[metric, good])
    assert clean(batch) == {("metrics", flaw): 1}
    assert list(batch.metrics) == [good]


def test_a_bad_loss_report_leaves_the_others() -> None:
    drops = [
        DropReport(id=1, first_unix_ms=2, last_unix_ms=1),
        DropReport(id=1 << 63),
        *[DropReport(id=3)] * 8,
    ]
    batch = PerformanceSnapshotBatch(header=BatchHeader(drops=drops))
    assert clean(batch) == {
        ("drops", Flaw.TOO_MANY): 2,
        ("drops", Flaw.TIME): 1,
        ("drops", Flaw.OUT_OF_RANGE): 1,
    }
    assert list(batch.header.drops) == [DropReport(id=3)] * 6


def test_numbers_of_cores_and_omitted_items_pass() -> None:
    snapshot = PerformanceSnapshot(
        cpu_core_usage_percent=[1, 0], cpu_cores_without_value=[1], omitted=[OmittedItem(item="/")]
    )
    expected = PerformanceSnapshot()
    expected.CopyFrom(snapshot)

    assert not clean(PerformanceSnapshotBatch(snapshots=[snapshot]))
    assert snapshot == expected
