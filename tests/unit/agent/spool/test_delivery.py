"""The state machine of batches, without waiting, threads or files."""

from dataclasses import dataclass, field

from agent.spool.batch import Batch
from agent.spool.delivery_states import Delivery
from agent.spool.models import (
    Committed,
    Kind,
    Limits,
    Loss,
    LossReport,
    Opened,
    Reason,
    Span,
)
from flotilla.v1.agent_pb2 import MessageToServer
from flotilla.v1.metrics_pb2 import PerformanceSnapshot

PERFORMANCE = Kind.PERFORMANCE
EMPTY = Opened(epoch="file", sequence=0)


@dataclass
class Clock:
    monotonic: float = 1_000.0
    unix: float = 1_800_000_000.0


@dataclass
class Driver:
    """Delivery with a clock that only the test moves."""

    limits: Limits = field(default_factory=Limits)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.delivery = Delivery(
            "v",
            self.limits,
            monotonic=lambda: self.clock.monotonic,
            now=lambda: self.clock.unix,
        )

    def add(self, *times: int) -> None:
        for time in times:
            self.delivery.add(PERFORMANCE, time, [PerformanceSnapshot(time_unix_ms=time)])

    def batch(self) -> Batch | None:
        """Return the batch that is to be sent now, from memory."""
        delivery = self.delivery
        if batch := delivery.next_live() or delivery.next_of_backlog():
            return batch
        for kind in delivery.kinds_to_fill():
            if batch := delivery.fill_from_memory(kind):
                return batch
        return None

    def send(self) -> list[int]:
        """Return the times of the batch that is to be sent now."""
        batch = self.batch()
        message = self.delivery.send(batch) if batch else None
        return times(message) if message else []

    def store(self, *, reports: tuple[LossReport, ...] = ()) -> None:
        commit = self.delivery.commit()
        self.delivery.committed(commit, Committed(items_stored=True, reports=reports))


def times(message: MessageToServer) -> list[int]:
    return [snapshot.time_unix_ms for snapshot in message.performance.snapshots]


def test_new_measurements_overtake_a_backlog_that_keeps_its_pace() -> None:
    driver = Driver(Limits(backlog_batches_per_second=20.0))
    driver.add(*range(2_000))
    newest = driver.send()
    driver.delivery.accepted([1])
    began, number = driver.clock.monotonic, 1
    sent: list[int] = []

    while len(sent) + len(newest) < 2_000:
        if batch := driver.send():
            sent += batch
            driver.delivery.accepted([(number := number + 1)])
            driver.add(10_000 + number)
            assert driver.send() == [10_000 + number]
            driver.delivery.accepted([(number := number + 1)])
        wait = driver.delivery.wait_seconds()
        assert wait is None or wait > 0
        driver.clock.monotonic += wait or 0

    assert sent + newest == list(range(2_000))
    took = driver.clock.monotonic - began
    assert 19 / 20 * 0.8 <= took <= 20 / 20 * 1.2


def test_the_pace_is_limited_in_bytes_too() -> None:
    driver = Driver(Limits(backlog_bytes_per_second=2_000.0))
    driver.add(*range(200))
    driver.send()
    batch = driver.batch()
    assert batch
    assert driver.delivery.send(batch)

    assert not driver.batch()
    wait = driver.delivery.wait_seconds()
    assert wait
    assert 0.8 * batch.size / 2_000 <= wait <= 1.2 * batch.size / 2_000


def test_a_new_stream_delays_the_backlog_by_a_random_time_but_not_new_measurements() -> None:
    driver = Driver()
    driver.add(*range(100))

    driver.delivery.stream_opened()

    assert driver.send() == list(range(68, 100))
    assert driver.send() == []
    driver.clock.monotonic += driver.limits.backlog_start
    assert driver.send() == list(range(68))


def test_a_batch_that_waits_for_a_retry_does_not_hold_up_the_backlog() -> None:
    driver = Driver(Limits(batch_items=10, live_items=10))
    driver.add(*range(40))
    driver.send()
    assert driver.send() == list(range(10))

    driver.delivery.retry([2], after=60.0)

    driver.clock.monotonic += driver.delivery.wait_seconds() or 0
    assert driver.send() == list(range(10, 20))


def test_a_commit_that_fails_is_repeated_with_what_came_after_it() -> None:
    driver = Driver()
    driver.delivery.adopt(EMPTY)
    driver.add(1, 2)
    driver.send()
    driver.delivery.accepted([1])
    first = driver.delivery.commit()
    assert [item.id for item in first.items] == [1, 2]

    driver.delivery.durable([1])
    driver.add(3)

    again = driver.delivery.commit()
    assert [item.id for item in again.items] == [3]
    assert again.removed == (Span(PERFORMANCE, 1, 2),)


def test_what_becomes_durable_during_a_commit_is_removed_with_the_next() -> None:
    driver = Driver()
    driver.delivery.adopt(EMPTY)
    driver.add(1, 2)
    driver.send()
    commit = driver.delivery.commit()

    driver.delivery.durable([1])
    driver.delivery.committed(commit, Committed(items_stored=True))

    assert driver.delivery.is_stored
    assert driver.delivery.commit().removed == (Span(PERFORMANCE, 1, 2),)


def test_accepted_items_that_only_memory_has_are_marked_after_they_are_stored() -> None:
    driver = Driver(Limits(accepted_batches=1, live_items=600, batch_items=600))
    driver.delivery.adopt(EMPTY)
    driver.add(*range(510))
    driver.send()
    driver.add(510)
    driver.send()
    driver.delivery.accepted([1, 2])

    first = driver.delivery.commit()
    assert (len(first.items), first.accepted) == (500, ())
    driver.delivery.committed(first, Committed(items_stored=True))

    second = driver.delivery.commit()
    assert [acceptance.sequence for acceptance in second.accepted] == [1]
    assert len(second.items) == 11


def test_a_batch_that_is_durable_before_it_is_marked_as_accepted_is_removed() -> None:
    driver = Driver(Limits(accepted_batches=1))
    driver.delivery.adopt(EMPTY)
    for time in (1, 2):
        driver.add(time)
        driver.send()
    driver.delivery.accepted([1, 2])
    driver.delivery.durable([1])

    commit = driver.delivery.commit()

    assert (commit.accepted, commit.removed) == ((), (Span(PERFORMANCE, 1, 1),))


def test_accepted_items_leave_a_full_memory_before_anything_is_lost() -> None:
    driver = Driver(Limits(accepted_batches=1, memory_items=2))
    driver.delivery.adopt(EMPTY)
    for time in (1, 2):
        driver.add(time)
        driver.send()
    driver.delivery.committed(driver.delivery.commit(), Committed(items_stored=False))
    driver.delivery.accepted([1, 2])

    driver.add(3)

    commit = driver.delivery.commit()
    assert [item.id for item in commit.items] == [2, 3]
    assert [acceptance.sequence for acceptance in commit.accepted] == [1]
    assert driver.delivery.lost == 0


def test_memory_that_is_full_loses_nothing_that_is_in_a_batch() -> None:
    driver = Driver(Limits(memory_items=5))
    driver.add(0, 1, 2)
    assert driver.send() == [0, 1, 2]

    driver.add(*range(3, 13))

    assert driver.delivery.lost == 8
    assert driver.send() == [11, 12]
    driver.delivery.stream_opened()
    assert driver.send() == [0, 1, 2]


def test_items_of_a_damaged_spool_that_memory_has_are_kept_under_their_ids() -> None:
    driver = Driver(Limits(live_items=10))
    driver.delivery.adopt(EMPTY)
    driver.add(*range(20))
    driver.store()
    sent = driver.send()
    damage = Loss(Reason.DAMAGED, PERFORMANCE, 0, 1, 1)

    opened = Opened(epoch="new", sequence=0, spans=(Span(PERFORMANCE, 1, 4),), losses=(damage,))
    driver.delivery.adopt(opened)

    commit = driver.delivery.commit()
    assert [item.id for item in commit.items] == list(range(11, 21))
    search = driver.delivery.search(PERFORMANCE)
    assert search
    assert search.stored == Span(PERFORMANCE, 1, 4)
    assert driver.delivery.fill(search, []) is None
    assert driver.send() == sent
    assert [report.loss for report in commit.reports] == [damage]


def test_the_same_file_opened_again_changes_nothing() -> None:
    driver = Driver()
    driver.delivery.adopt(EMPTY)
    driver.add(1, 2)
    driver.send()
    driver.add(3)

    driver.delivery.adopt(Opened(epoch="file", sequence=1_000_000_000))

    assert driver.send() == [3]
    driver.delivery.durable([1, 2])
    assert driver.delivery.commit().removed == (Span(PERFORMANCE, 1, 3),)


def test_a_loss_by_the_quota_joins_a_report_that_is_not_in_flight() -> None:
    driver = Driver()
    driver.delivery.adopt(EMPTY)
    driver.delivery.report(Loss(Reason.AGE, PERFORMANCE, 2, 10, 20))
    driver.store(reports=(LossReport(99, Loss(Reason.AGE, PERFORMANCE, 3, 5, 15)),))

    commit = driver.delivery.commit()
    assert commit.reports == (LossReport(1, Loss(Reason.AGE, PERFORMANCE, 5, 5, 20)),)
    assert commit.settled_reports == (99,)


def test_a_report_in_flight_does_not_grow_and_is_settled_as_it_was_sent() -> None:
    driver = Driver(Limits(loss_report_interval=0.0))
    driver.delivery.adopt(EMPTY)
    driver.delivery.report(Loss(Reason.AGE, PERFORMANCE, 2, 10, 20))
    driver.add(1)
    driver.send()
    driver.delivery.report(Loss(Reason.AGE, PERFORMANCE, 3, 30, 40))

    driver.delivery.durable([1])

    driver.add(2)
    batch = driver.batch()
    assert batch
    assert batch.reports == (LossReport(2, Loss(Reason.AGE, PERFORMANCE, 3, 30, 40)),)
    assert driver.delivery.commit().settled_reports == (1,)


def test_with_many_reports_one_in_flight_grows_and_is_sent_again() -> None:
    driver = Driver(Limits(loss_report_interval=0.0))
    for number in range(1, 65):
        driver.delivery.report(Loss(Reason.AGE, PERFORMANCE, 1, number, number))
        driver.add(number)
        driver.send()
        driver.delivery.accepted([number])

    driver.delivery.report(Loss(Reason.AGE, PERFORMANCE, 5, 99, 99))
    driver.delivery.durable(range(1, 65))

    driver.add(65)
    batch = driver.batch()
    assert batch
    assert batch.reports == (LossReport(64, Loss(Reason.AGE, PERFORMANCE, 6, 64, 99)),)


def test_measurements_that_the_server_refuses_are_reported() -> None:
    driver = Driver(Limits(loss_report_interval=0.0))
    driver.add(1, 2)
    driver.send()
    driver.delivery.accepted([1])

    driver.delivery.refused([1], "the batch is malformed")

    driver.add(3)
    batch = driver.batch()
    assert batch
    assert [report.loss for report in batch.reports] == [Loss(Reason.REFUSED, PERFORMANCE, 2, 1, 2)]


def test_batches_that_jetstream_lost_are_sent_again_only_if_a_later_one_is_durable() -> None:
    driver = Driver()
    for time in (1, 2):
        driver.add(time)
        driver.send()
        driver.delivery.accepted([time])
        driver.clock.unix += 1

    assert driver.delivery.lost_before(1 << 40) is None
    assert driver.batch() is None
    driver.delivery.durable([2])
    assert driver.delivery.lost_before(1 << 40) == 1_800_000_001

    assert driver.send() == [1]
