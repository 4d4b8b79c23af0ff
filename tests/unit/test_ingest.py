import subprocess
import sys
from uuid import UUID

import pytest

from flotilla.v1.metrics_pb2 import (
    BatchHeader,
    DiskUsage,
    PerformanceSnapshot,
    PerformanceSnapshotBatch,
)
from services.ingest import clock, edge, rows
from services.ingest.errors import STATUS, Reason
from services.kit import sample

NOW = 1_790_000_000_000
HOUR = 3_600_000


def batch(*times: int, sent_at: int) -> PerformanceSnapshotBatch:
    return PerformanceSnapshotBatch(
        header=BatchHeader(sent_at_unix_ms=sent_at),
        snapshots=[PerformanceSnapshot(time_unix_ms=time) for time in times],
    )


def test_a_good_clock_is_taken_at_its_word() -> None:
    for off in (0, 59_000, -59_000):
        told = batch(NOW + off - 2000, NOW + off, sent_at=NOW + off)
        assert clock.correct(told, NOW) is False
        assert [s.time_unix_ms for s in told.snapshots] == [NOW + off - 2000, NOW + off]


@pytest.mark.parametrize("off", [2 * HOUR, -2 * HOUR, NOW, -NOW, 100_000])
def test_a_wrong_clock_is_moved_and_keeps_its_intervals(off: int) -> None:
    told = batch(NOW - off - 4000, NOW - off, sent_at=NOW - off)
    assert clock.correct(told, NOW) is True
    first, last = told.snapshots
    assert last.time_unix_ms - first.time_unix_ms == 4000
    assert abs(last.time_unix_ms - NOW) <= clock.QUANTUM_MS / 2
    assert first.clock_corrected
    assert last.clock_corrected


def test_resending_with_another_delay_gives_the_same_times() -> None:
    times = set()
    for delay in (0, 40, 900, 5_000, 20_000):
        told = batch(NOW - 2 * HOUR, sent_at=NOW - 2 * HOUR)
        clock.correct(told, NOW + delay)
        times.add(told.snapshots[0].time_unix_ms)
    assert len(times) == 1


@pytest.mark.parametrize("absurd", [-1, 0, NOW + HOUR, NOW - clock.MAX_AGE_MS - 1, 1 << 62])
def test_an_absurd_time_becomes_the_servers(absurd: int) -> None:
    told = batch(absurd, NOW - 1000, sent_at=NOW)
    assert clock.correct(told, NOW) is True
    assert [s.time_unix_ms for s in told.snapshots] == [NOW, NOW - 1000]
    assert [s.clock_corrected for s in told.snapshots] == [True, False]


def test_a_row_has_a_value_for_every_column() -> None:
    (row,) = rows.performance_rows(
        UUID(int=1),
        batch(NOW, sent_at=NOW),
    )
    assert len(row) == len(rows.COLUMNS) == len(rows.TYPES)
    named = dict(zip(rows.COLUMNS, row, strict=True))
    assert named["time"] == sample.measured_at(PerformanceSnapshot(time_unix_ms=NOW))
    assert named["clock_corrected"] is False
    assert {named[metric.name] for metric in sample.METRICS} == {None}
    assert named["detail"] is None


def test_what_is_absent_stays_absent_and_zero_stays_zero() -> None:
    values = sample.values(PerformanceSnapshot(cpu_usage_percent=0.0, swap_total_bytes=0))
    assert values["cpu_usage"] == 0.0
    assert values["swap_total"] == 0
    assert values["load_1"] is None
    assert values["mem_usage"] is None
    assert values["temperature"] is None
    assert sample.detail(PerformanceSnapshot()) == {}


def test_the_fullest_file_system_and_the_hottest_sensor_speak_for_all() -> None:
    snapshot = PerformanceSnapshot(
        disks=[
            DiskUsage(mount_point="/", total_bytes=100, used_bytes=10),
            DiskUsage(mount_point="/data", total_bytes=50, used_bytes=45),
            DiskUsage(mount_point="/empty"),
        ]
    )
    for celsius in (40.0, 71.26, 12.0):
        snapshot.temperatures.add(sensor="s", celsius=celsius)
    values = sample.values(snapshot)
    assert (values["disk_usage"], values["disk_used"], values["disk_total"]) == (90.0, 55, 150)
    assert values["temperature"] == 71.3


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:443", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:443", "2001:db8::1"),
        ("ipv6:[2001:db8::1]:443", "2001:db8::1"),
        ("unix:", ""),
        ("", ""),
    ],
)
def test_the_peers_address_is_read_from_grpcs_word_for_it(peer: str, address: str) -> None:
    assert edge.peer_address(peer) == address


def test_every_refusal_has_a_status() -> None:
    assert set(STATUS) == set(Reason)


def test_the_edge_process_knows_no_database() -> None:
    code = "import services.ingest.edge, sys; assert 'psycopg' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
