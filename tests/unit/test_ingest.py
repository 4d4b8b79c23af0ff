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
from services.ingest import clock as clocks
from services.ingest import edge, rows
from services.ingest.clock import Clock, Clocks
from services.ingest.errors import STATUS, IntakeError, Reason
from services.kit import sample

NOW = 1_790_000_000_000
HOUR = 3_600_000


def batch(*times: int, sent_at: int, sequence: int = 1) -> PerformanceSnapshotBatch:
    return PerformanceSnapshotBatch(
        header=BatchHeader(epoch="e", sequence=sequence, sent_at_unix_ms=sent_at),
        snapshots=[PerformanceSnapshot(time_unix_ms=time) for time in times],
    )


def corrected(clock: Clock, told: PerformanceSnapshotBatch, received: int) -> list[int]:
    clock.correct(told, received)
    return [snapshot.time_unix_ms for snapshot in told.snapshots]


def test_a_good_clock_is_taken_at_its_word() -> None:
    for off in (0, 59_000, -59_000):
        told = batch(NOW + off - 2000, NOW + off, sent_at=NOW + off)
        assert Clock().correct(told, NOW) is False
        assert [s.time_unix_ms for s in told.snapshots] == [NOW + off - 2000, NOW + off]


@pytest.mark.parametrize("off", [2 * HOUR, -2 * HOUR, NOW, -NOW, 100_000])
def test_a_wrong_clock_is_moved_and_keeps_its_intervals(off: int) -> None:
    told = batch(NOW - off - 4000, NOW - off, sent_at=NOW - off)
    assert Clock().correct(told, NOW) is True
    first, last = told.snapshots
    assert last.time_unix_ms - first.time_unix_ms == 4000
    assert abs(last.time_unix_ms - NOW) <= clocks.QUANTUM_MS / 2
    assert first.clock_corrected
    assert last.clock_corrected


@pytest.mark.parametrize("off", [-2 * HOUR, -2 * HOUR - 29_990, 60_010, -60_010, 59_990, -59_990])
def test_resending_with_another_delay_gives_the_same_times(off: int) -> None:
    clock = Clock()
    times = set()
    for delay in (0, 40, -30, 900, 5_000, 11, 14_000):
        times.update(corrected(clock, batch(NOW + off, sent_at=NOW + off), NOW + delay))
    assert len(times) == 1


def test_what_lay_behind_others_says_nothing_against_the_clock() -> None:
    clock = Clock()
    for waited in (70_000, 200_000):
        told = batch(NOW - waited, sent_at=NOW - waited)
        assert clock.correct(told, NOW, waited) is False
    # Behind by more than the wait can explain; and ahead, which no wait can.
    assert clock.correct(batch(NOW - 2 * HOUR, sent_at=NOW - 2 * HOUR), NOW, 70_000) is True
    assert Clock().correct(batch(NOW + HOUR, sent_at=NOW + HOUR), NOW, 2 * HOUR) is True


def test_a_clock_that_is_put_right_is_believed_again() -> None:
    clock = Clock()
    for off in (76_000, 2 * HOUR, 0, 76_000, 0):
        (time,) = corrected(clock, batch(NOW + off, sent_at=NOW + off), NOW)
        assert abs(time - NOW) <= (clocks.QUANTUM_MS // 2 if off else 0)


def test_a_clock_that_drifts_is_followed_and_never_far_off() -> None:
    clock = Clock()
    shifts = []
    for off in range(0, 10 * 60_000, 500):
        (time,) = corrected(clock, batch(NOW - off, sent_at=NOW - off), NOW)
        assert abs(time - NOW) <= clocks.TOLERANCE_MS + clocks.MARGIN_MS
        shifts.append(time - NOW + off)
    assert shifts == sorted(shifts)
    assert set(shifts) == set(range(0, 11 * 60_000, 60_000))


def test_an_edge_remembers_a_clock_between_streams_but_not_for_ever() -> None:
    known = Clocks()
    first = known.of("a")
    for number in range(clocks.CLOCKS_LIMIT - 1):
        known.of(str(number))
    assert known.of("a") is first
    known.of("one more")
    assert known.of("0") is not known.of("a")
    assert known.of("a") is first
    for number in range(clocks.CLOCKS_LIMIT):
        known.of(str(number))
    assert known.of("a") is not first


@pytest.mark.parametrize("absurd", [-1, 0, NOW + HOUR, NOW - clocks.MAX_AGE_MS - 1, 1 << 62])
def test_an_absurd_time_becomes_the_servers(absurd: int) -> None:
    told = batch(absurd, NOW - 1000, sent_at=NOW)
    assert Clock().correct(told, NOW) is True
    assert [s.time_unix_ms for s in told.snapshots] == [NOW, NOW - 1000]
    assert [s.clock_corrected for s in told.snapshots] == [True, False]


@pytest.mark.parametrize("first", [1_000, NOW + HOUR])
@pytest.mark.parametrize("sent_off", [0, -2 * HOUR])
def test_absurd_times_keep_their_intervals(first: int, sent_off: int) -> None:
    told = [first + 5_000 * n for n in range(100)]
    times = corrected(Clock(), batch(*told, sent_at=NOW + sent_off), NOW)
    assert times == [NOW - 5_000 * n for n in reversed(range(100))]


def test_absurd_times_that_come_again_are_given_the_same_ones() -> None:
    clock = Clock()
    told = [NOW + 76_000, NOW + HOUR]
    first = corrected(clock, batch(*told, sent_at=NOW), NOW)
    clock.correct(batch(5, sent_at=NOW, sequence=2), NOW + 30_000)
    assert corrected(clock, batch(*told, sent_at=NOW + 50_000), NOW + 50_000) == first
    for sequence in range(3, clocks.BATCHES_LIMIT + 3):
        clock.correct(batch(5, sent_at=NOW, sequence=sequence), NOW)
    assert corrected(clock, batch(*told, sent_at=NOW + 50_000), NOW + 50_000) != first


def test_times_of_the_past_come_before_those_of_the_future() -> None:
    told = batch(1, 5, NOW + HOUR, NOW + HOUR + 2, sent_at=NOW)
    assert corrected(Clock(), told, NOW) == [NOW - 7, NOW - 3, NOW - 2, NOW]


def test_absurd_times_too_far_apart_to_be_kept_are_refused() -> None:
    with pytest.raises(IntakeError) as refused:
        Clock().correct(batch(0, clocks.MAX_AGE_MS, sent_at=NOW), NOW)
    assert refused.value.reason is Reason.MALFORMED


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


def test_a_wrong_clock_is_news_once() -> None:
    seen = Clock()
    news = []
    for sent in (NOW - 2 * HOUR, NOW - 2 * HOUR + 1000, NOW):
        seen.correct(batch(sent, sent_at=sent), NOW)
        news.append(seen.is_news())
    assert news == [True, False, True]
