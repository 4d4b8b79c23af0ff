"""The limit for the time that a message was queued at the edge."""

from services.ingest.edge.queueing import QueueingTime


def test_a_message_that_arrives_while_nothing_is_handled_was_not_queued() -> None:
    queueing = QueueingTime(100.0)
    queueing.wait(100.0)
    queueing.read(105.0)
    assert queueing.limit == 0.0


def test_messages_behind_a_slow_one_were_queued_for_as_long_as_it_took() -> None:
    queueing = QueueingTime(100.0)
    queueing.wait(100.0)
    queueing.read(100.0)
    queueing.wait(104.0)
    queueing.read(104.0)
    assert queueing.limit == 4.0
    queueing.wait(105.0)
    queueing.read(105.0)
    assert queueing.limit == 5.0


def test_a_short_delay_of_a_read_does_not_hide_a_long_queue() -> None:
    queueing = QueueingTime(100.0)
    queueing.wait(104.0)
    queueing.read(104.25)
    assert queueing.limit == 3.75


def test_the_limit_is_gone_after_as_much_idle_time() -> None:
    queueing = QueueingTime(100.0)
    queueing.wait(104.0)
    queueing.read(106.0)
    queueing.wait(106.0)
    queueing.read(109.0)
    assert queueing.limit == 0.0
