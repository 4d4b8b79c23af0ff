import random
from typing import Any

import pytest

from services.kit.windows import ReceiveWindow, SendWindow
from services.shellproxy.attachment import FRAME, WINDOW, Attachment
from services.shellproxy.scrollback import RESET, Scrollback, safe_cut

# --- windows ---


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
    # An acknowledgement of what was sent before may come after.
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


# --- scrollback ---

SEQUENCES = [
    *(b"\x1b[31m", b"\x1b[?1049h", b"\x1b[38;2;255;100;0m", b"\x1b[2 q", b"\x1b[1\n;2H"),
    *(b"\x1b]0;a title\x07", b"\x1b]8;;http://a/\x1b\\", b"\x1bP1$r0m\x1b\\", b"\x1b_app\x1b\\"),
    *(b"\x1b(B", b"\x1b=", b"\x1bc", b"\x1b7", b"\x1b#8", "\x1b]0;é漢\x07".encode()),
    *("é".encode(), "漢".encode(), "😀".encode()),
]


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_nothing_is_cut_in_the_middle(sequence: bytes) -> None:
    data = b"before" + sequence + b"after"
    begin, end = 6, 6 + len(sequence)
    for at in range(len(data) + 1):
        cut, opening = safe_cut(data, at)
        assert cut >= at
        assert cut <= begin or cut >= end
        assert opening == b""
        assert cut in {at, end}


@pytest.mark.parametrize(
    ("data", "at", "opening"),
    [
        (b"\x1b]0;a title without its end", 9, b"\x1b]"),
        (b"\x1bPq#0;2;0;0;0#0~~@@", 9, b"\x1b_"),
        (b"\x1b[12;34", 4, b"\x1b["),
    ],
)
def test_a_sequence_without_its_end_is_opened_anew(data: bytes, at: int, opening: bytes) -> None:
    assert safe_cut(data, at) == (at, opening)


def test_a_sequence_that_another_breaks_off_ends_there() -> None:
    assert safe_cut(b"\x1b]0;title\x1b[31mred", 5) == (9, b"")


def test_the_scrollback_keeps_the_end_within_its_limit() -> None:
    chance = random.Random(2)
    pieces = [b"line\r\n", b"\x1b[1;31mred\x1b[0m ", "漢字 é 😀\r\n".encode(), b"\x1b]0;t\x07"]
    scrollback, whole, kept = Scrollback(limit=1_000), b"", b""
    for _ in range(2_000):
        piece = chance.choice(pieces)
        split = chance.randint(0, len(piece))
        for data in (piece[:split], piece[split:]):
            whole += data
            scrollback.append(data)
            kept = scrollback.read(scrollback.start, 10_000)
            assert len(kept) <= 1_000
            assert whole.endswith(kept)
            assert scrollback.end == len(whole)
        kept.decode()
        assert kept.count(b"\x1b]") == kept.count(b"\x07")
        assert not kept.startswith((b"[", b"1;31m", b"0m", b"]", b"0;t", b"m"))
    assert len(kept) > 400


def test_a_string_longer_than_the_scrollback_stays_one() -> None:
    scrollback = Scrollback(limit=1_000)
    scrollback.append(b"text\x1bP")
    for _ in range(50):
        scrollback.append(b"#" * 100)
    assert scrollback.preamble() == RESET + b"\x1b_"
    scrollback.append(b"\x1b\\text again")
    for _ in range(30):
        scrollback.append(b"." * 100)
    assert scrollback.preamble() == RESET
    assert set(scrollback.read(scrollback.start, 9_999)) == {ord(".")}


def test_modes_that_were_set_in_what_is_forgotten_are_told() -> None:
    scrollback = Scrollback(limit=1_000)
    scrollback.append(b"\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[?1;1000h\x1b[?1000l\x1b[?31337h")
    assert scrollback.preamble() == RESET
    scrollback.append(b"." * 2_000)
    assert scrollback.preamble() == RESET + b"\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[?1h"
    scrollback.append(b"\x1b[?25h\x1b[?1049l" + b"." * 2_000)
    assert scrollback.preamble() == RESET + b"\x1b[?2004h\x1b[?1h"
    scrollback.append(b"\x1bc" + b"." * 2_000)
    assert scrollback.preamble() == RESET


# --- screens ---


def attachment(**fields: Any) -> Attachment:
    return Attachment("a", "u", "name", **{"driver": True, "resumed": False} | fields)


def drained(screen: Attachment, scrollback: Scrollback) -> list[tuple[int, bytes]]:
    frames = []
    while (frame := screen.next(scrollback)) is not None:
        frames.append(frame)
    return frames


def test_a_screen_is_sent_no_more_than_its_window() -> None:
    scrollback, screen = Scrollback(limit=4 * WINDOW), attachment()
    scrollback.append(bytes(2 * WINDOW))
    screen.start_over(scrollback)
    frames = drained(screen, scrollback)

    assert [offset for offset, _ in frames] == list(range(0, WINDOW, FRAME))
    assert screen.sent == WINDOW
    screen.credit(10)
    assert drained(screen, scrollback) == [(WINDOW, bytes(10))]
    screen.credit(10**9)
    assert screen.room == WINDOW


def test_a_screen_that_comes_back_begins_with_a_reset() -> None:
    scrollback, screen = Scrollback(), attachment(resumed=True)
    scrollback.append(b"before")
    screen.start_over(scrollback)
    assert drained(screen, scrollback) == [(0, RESET), (2, b"before")]
    assert not screen.behind(scrollback)


def test_what_a_screen_lost_is_sent_again_from_there() -> None:
    scrollback, screen = Scrollback(), attachment()
    scrollback.append(b"abcdef")
    screen.start_over(scrollback)
    drained(screen, scrollback)
    screen.credit(2)
    screen.rewind(4, scrollback)
    assert drained(screen, scrollback) == [(4, b"ef")]
    for nonsense in (1, 7):
        screen.rewind(nonsense, scrollback)
        assert drained(screen, scrollback) == []


def test_a_screen_that_lost_what_is_not_there_any_more_starts_over() -> None:
    scrollback, screen = Scrollback(limit=100), attachment(resumed=True)
    scrollback.append(b"." * 50)
    screen.start_over(scrollback)
    drained(screen, scrollback)
    screen.rewind(1, scrollback)
    assert screen.due
    screen.start_over(scrollback)
    assert drained(screen, scrollback)[0] == (1, RESET)
    scrollback.append(b"." * 500)
    drained(screen, scrollback)
    screen.rewind(screen.sent - 120, scrollback)
    assert screen.due


def test_typed_bytes_count_as_taken_when_the_agent_has_them() -> None:
    screen = attachment()
    screen.typed.take(0, b"abcdef")
    assert screen.taken(waiting=0) == 6
    assert screen.taken(waiting=2) == 4
    # Those of a driver before it wait as well.
    assert screen.taken(waiting=9) == 0
