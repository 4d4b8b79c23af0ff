import pytest

from flotilla.v1.docker_pb2 import DockerInfoBatch, DockerSnapshot
from flotilla.v1.metrics_pb2 import (
    BatchHeader,
    GenericMetric,
    GenericMetricsBatch,
    PerformanceSnapshot,
    PerformanceSnapshotBatch,
)
from services.ingest.edge import clock_correction as clocks
from services.ingest.edge.clock_correction import AgentClock, AgentClocks

NOW = 1_790_000_000_000
HOUR = 3_600_000


def batch(*times: int, sent_at: int, sequence: int = 1) -> PerformanceSnapshotBatch:
    return PerformanceSnapshotBatch(
        header=BatchHeader(epoch="e", sequence=sequence, sent_at_unix_ms=sent_at),
        snapshots=[PerformanceSnapshot(time_unix_ms=time) for time in times],
    )


def corrected(clock: AgentClock, sent: PerformanceSnapshotBatch, received: int) -> list[int]:
    clock.correct(sent, received)
    return [snapshot.time_unix_ms for snapshot in sent.snapshots]


def test_a_good_clock_is_not_corrected() -> None:
    for off in (0, 59_000, -59_000):
        sent = batch(NOW + off - 2000, NOW + off, sent_at=NOW + off)
        assert AgentClock().correct(sent, NOW) is False
        assert [s.time_unix_ms for s in sent.snapshots] == [NOW + off - 2000, NOW + off]


@pytest.mark.parametrize("off", [2 * HOUR, -2 * HOUR, NOW, -NOW, 100_000])
def test_timestamps_of_a_wrong_clock_are_moved_and_keep_their_intervals(off: int) -> None:
    sent = batch(NOW - off - 4000, NOW - off, sent_at=NOW - off)
    assert AgentClock().correct(sent, NOW) is True
    first, last = sent.snapshots
    assert last.time_unix_ms - first.time_unix_ms == 4000
    assert abs(last.time_unix_ms - NOW) <= clocks.QUANTUM_MS / 2
    assert first.clock_corrected
    assert last.clock_corrected


@pytest.mark.parametrize("off", [-2 * HOUR, -2 * HOUR - 29_990, 60_010, -60_010, 59_990, -59_990])
def test_a_resent_batch_gets_the_same_timestamps_whatever_its_delay(off: int) -> None:
    clock = AgentClock()
    times = set()
    for delay in (0, 40, -30, 900, 5_000, 11, 14_000):
        times.update(corrected(clock, batch(NOW + off, sent_at=NOW + off), NOW + delay))
    assert len(times) == 1


def test_time_spent_waiting_behind_other_batches_is_not_a_clock_error() -> None:
    clock = AgentClock()
    for waited in (70_000, 200_000):
        sent = batch(NOW - waited, sent_at=NOW - waited)
        assert clock.correct(sent, NOW, waited) is False
    # Behind by more than the wait can explain; and ahead, which no wait can.
    assert clock.correct(batch(NOW - 2 * HOUR, sent_at=NOW - 2 * HOUR), NOW, 70_000) is True
    assert AgentClock().correct(batch(NOW + HOUR, sent_at=NOW + HOUR), NOW, 2 * HOUR) is True


def test_a_clock_that_is_set_right_is_not_corrected_any_more() -> None:
    clock = AgentClock()
    for off in (76_000, 2 * HOUR, 0, 76_000, 0):
        (time,) = corrected(clock, batch(NOW + off, sent_at=NOW + off), NOW)
        assert abs(time - NOW) <= (clocks.QUANTUM_MS // 2 if off else 0)


def test_a_drifting_clock_is_followed_in_steps() -> None:
    clock = AgentClock()
    shifts = []
    for off in range(0, 10 * 60_000, 500):
        (time,) = corrected(clock, batch(NOW - off, sent_at=NOW - off), NOW)
        assert abs(time - NOW) <= clocks.TOLERANCE_MS + clocks.MARGIN_MS
        shifts.append(time - NOW + off)
    assert shifts == sorted(shifts)
    assert set(shifts) == set(range(0, 11 * 60_000, 60_000))


def test_clocks_are_remembered_up_to_a_limit() -> None:
    known = AgentClocks()
    first = known.get("a")
    for number in range(clocks.CLOCKS_LIMIT - 1):
        known.get(str(number))
    assert known.get("a") is first
    known.get("one more")
    assert known.get("0") is not known.get("a")
    assert known.get("a") is first
    for number in range(clocks.CLOCKS_LIMIT):
        known.get(str(number))
    assert known.get("a") is not first


@pytest.mark.parametrize("outlier", [-1, 0, NOW + HOUR, NOW - clocks.MAX_AGE_MS - 1, 1 << 62])
def test_an_out_of_range_timestamp_becomes_the_receive_time(outlier: int) -> None:
    sent = batch(outlier, NOW - 1000, sent_at=NOW)
    assert AgentClock().correct(sent, NOW) is True
    assert [s.time_unix_ms for s in sent.snapshots] == [NOW, NOW - 1000]
    assert [s.clock_corrected for s in sent.snapshots] == [True, False]


@pytest.mark.parametrize("first", [1_000, NOW + HOUR])
@pytest.mark.parametrize("sent_off", [0, -2 * HOUR])
def test_out_of_range_timestamps_keep_their_intervals(first: int, sent_off: int) -> None:
    sent = [first + 5_000 * n for n in range(100)]
    times = corrected(AgentClock(), batch(*sent, sent_at=NOW + sent_off), NOW)
    assert times == [NOW - 5_000 * n for n in reversed(range(100))]


def test_a_resent_batch_with_out_of_range_timestamps_gets_the_same_ones() -> None:
    clock = AgentClock()
    sent = [NOW + 76_000, NOW + HOUR]
    first = corrected(clock, batch(*sent, sent_at=NOW), NOW)
    clock.correct(batch(5, sent_at=NOW, sequence=2), NOW + 30_000)
    assert corrected(clock, batch(*sent, sent_at=NOW + 50_000), NOW + 50_000) == first
    for sequence in range(3, clocks.BATCHES_LIMIT + 3):
        clock.correct(batch(5, sent_at=NOW, sequence=sequence), NOW)
    assert corrected(clock, batch(*sent, sent_at=NOW + 50_000), NOW + 50_000) != first


def test_timestamps_of_the_past_stay_before_those_of_the_future() -> None:
    sent = batch(1, 5, NOW + HOUR, NOW + HOUR + 2, sent_at=NOW)
    assert corrected(AgentClock(), sent, NOW) == [NOW - 7, NOW - 3, NOW - 2, NOW]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([0, clocks.MAX_AGE_MS + 1], [NOW]),
        ([5, 6, -(1 << 62)], [NOW - 1, NOW]),
        ([NOW + HOUR, NOW + HOUR + 9, 1 << 62], [NOW - 9, NOW]),
        ([1 << 62, NOW + HOUR, NOW - 7, NOW + HOUR + 9], [NOW - 9, NOW - 7, NOW]),
    ],
)
def test_timestamps_too_far_from_the_others_are_left_out(sent: list[int], kept: list[int]) -> None:
    assert sorted(corrected(AgentClock(), batch(*sent, sent_at=NOW), NOW)) == kept


def test_each_change_of_the_offset_is_reported_once() -> None:
    clock = AgentClock()
    changes = []
    for sent in (NOW - 2 * HOUR, NOW - 2 * HOUR + 1000, NOW):
        clock.correct(batch(sent, sent_at=sent), NOW)
        changes.append(clock.offset_changed())
    assert changes == [True, False, True]


def test_an_outlier_among_corrected_timestamps_leaves_the_others_their_offset() -> None:
    sent_at = NOW - 2 * HOUR
    sent = batch(5, sent_at - 2000, sent_at, sent_at=sent_at)
    assert corrected(AgentClock(), sent, NOW) == [NOW, NOW - 2000, NOW]


def test_a_new_epoch_forgets_the_offset_and_the_earlier_batches() -> None:
    clock = AgentClock()
    clock.correct(batch(NOW - 2 * HOUR, sent_at=NOW - 2 * HOUR), NOW)
    restarted = batch(NOW, sent_at=NOW)
    restarted.header.epoch = "f"
    assert clock.correct(restarted, NOW) is False


def test_docker_and_custom_metrics_are_corrected_as_well() -> None:
    header = BatchHeader(epoch="e", sequence=1, sent_at_unix_ms=NOW - 2 * HOUR)
    docker = DockerInfoBatch(header=header, snapshots=[DockerSnapshot(time_unix_ms=NOW - 2 * HOUR)])
    generic = GenericMetricsBatch(
        header=header, metrics=[GenericMetric(name="queue", time_unix_ms=NOW - 2 * HOUR)]
    )
    assert AgentClock().correct(docker, NOW) is True
    assert docker.snapshots[0].time_unix_ms == NOW
    assert docker.snapshots[0].clock_corrected
    assert AgentClock().correct(generic, NOW) is True
    assert generic.metrics[0].time_unix_ms == NOW


def test_the_margin_keeps_the_offset_where_it_is() -> None:
    clock = AgentClock()
    just_tolerated = clocks.TOLERANCE_MS + clocks.MARGIN_MS
    assert clock.correct(batch(NOW, sent_at=NOW - just_tolerated), NOW) is False
    assert clock.correct(batch(NOW, sent_at=NOW - just_tolerated - 1, sequence=2), NOW) is True
