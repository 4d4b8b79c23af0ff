import random

import pytest

from services.kit.agents.byte_windows import ReceiveWindow, SendWindow


def test_what_is_sent_is_kept_until_it_is_acknowledged() -> None:
    window = SendWindow(capacity=10, in_flight=6)
    assert window.put(b"abcdefgh")
    assert not window.put(b"ijk")
    assert window.put(b"ij")
    assert window.next(4) == (0, b"abcd")
    assert window.next(4) == (4, b"ef")
    assert window.next(4) is None
    assert window.acknowledge(5)
    assert window.next(9) == (6, b"ghij")
    assert window.waiting == 5


def test_what_is_lost_is_sent_again_from_the_last_acknowledgement() -> None:
    window = SendWindow(capacity=10, in_flight=10)
    assert not window.rewind()
    window.put(b"abcdef")
    window.next(6)
    window.acknowledge(2)
    assert window.rewind()
    assert window.next(9) == (2, b"cdef")
    # An acknowledgement of earlier bytes may arrive after the rewind.
    window.rewind()
    window.acknowledge(5)
    assert window.next(9) == (5, b"f")


@pytest.mark.parametrize("offset", [0, 3, 7, 2**63])
def test_an_acknowledgement_of_nothing_new_changes_nothing(offset: int) -> None:
    window = SendWindow(capacity=10, in_flight=10)
    window.put(b"abcdef")
    window.next(6)
    window.acknowledge(3)
    assert not window.acknowledge(offset)
    assert (window.acknowledged, window.waiting) == (3, 3)


def test_time_without_progress_makes_it_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    window = SendWindow(capacity=10, in_flight=10)
    assert window.overdue_at() == float("inf")
    window.put(b"abc")
    assert window.overdue_at() == 101.0
    waits = []
    for _ in range(5):
        now = window.overdue_at()
        window.rewind()
        waits.append(window.overdue_at() - now)
    assert waits == [2, 4, 8, 8, 8]
    window.acknowledge(1)
    assert window.overdue_at() - now == 1.0


def test_each_byte_is_taken_once_and_in_order() -> None:
    window = ReceiveWindow()
    assert window.take(0, b"abc") == b"abc"
    assert window.take(5, b"f") is None
    assert window.take(0, b"abc") == b""
    assert window.take(1, b"bcde") == b"de"
    assert window.take(5, b"f") == b"f"
    assert window.received == 6


def test_two_ends_over_a_way_that_loses_and_doubles_agree() -> None:
    chance = random.Random(1)
    sent, got = chance.randbytes(20_000), b""
    sender, receiver = SendWindow(capacity=20_000, in_flight=1_000), ReceiveWindow()
    sender.put(sent)
    while sender.waiting:
        while (frame := sender.next(chance.randint(1, 300))) is not None:
            for _ in range(chance.choice((0, 1, 1, 2))):
                got += receiver.take(*frame) or b""
        if chance.random() < 0.7 and not sender.acknowledge(receiver.received):
            sender.rewind()
    assert got == sent
