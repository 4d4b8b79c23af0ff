import random

import pytest

from services.shellproxy.scrollback import RESET, Scrollback, safe_cut

SEQUENCES = [
    b"\x1b[31m",
    b"\x1b[?1049h",
    b"\x1b[38;2;255;100;0m",
    b"\x1b[2 q",
    b"\x1b[1\n;2H",
    b"\x1b]0;a title\x07",
    b"\x1b]8;;http://a/\x1b\\",
    b"\x1bP1$r0m\x1b\\",
    b"\x1b_app\x1b\\",
    b"\x1b(B",
    b"\x1b=",
    b"\x1bc",
    b"\x1b7",
    b"\x1b#8",
    "\x1b]0;é漢\x07".encode(),
    "é".encode(),
    "漢".encode(),
    "😀".encode(),
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
