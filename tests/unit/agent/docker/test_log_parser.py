import pytest

from agent.docker.log_parser import LINE_LIMIT, LogParser


def framed(*pieces: tuple[int, bytes]) -> bytes:
    return b"".join(
        bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for stream, text in pieces
    )


@pytest.mark.parametrize("step", [1, 3, 7, 8, 9, 100])
def test_frames_may_come_in_any_pieces(step: int) -> None:
    stamp = b"2026-11-22T23:19:31.633344304Z"
    data = framed(
        (1, stamp + b" one\n"),
        (2, stamp + b" two\r\n"),
        (1, stamp + b" a part"),
        (1, stamp + b" its rest\n"),
        (1, b"no time\n"),
        (1, b""),
        (2, stamp + b" \n"),
    )
    lines = LogParser(framed=True)

    told = [line for at in range(0, len(data), step) for line in lines.feed(data[at : at + step])]

    assert told == [
        stamp + b" o one\n",
        stamp + b" e two\n",
        stamp + b" o a part\n",
        stamp + b" o its rest\n",
        b"- o no time\n",
        stamp + b" e \n",
    ]


def test_a_line_without_an_end_is_told_in_pieces() -> None:
    lines = LogParser(framed=True)
    header = bytes([1, 0, 0, 0]) + (2**32 - 1).to_bytes(4, "big")

    told = list(lines.feed(header))
    for _ in range(1_000):
        told += lines.feed(b"z" * 1_000)

    assert len(told) == 1_000_000 // LINE_LIMIT
    assert max(map(len, told)) < LINE_LIMIT + 10
    assert len(lines._received) + len(lines._line._text) <= LINE_LIMIT


STAMP = b"2026-11-22T23:19:31.633344304Z"


def cut(text: bytes, size: int, stream: int = 1) -> list[tuple[int, bytes]]:
    """Cut a line into frames as engines do: each has a time, and the last one the line end."""
    return [
        (stream, STAMP + b" " + text[at : at + size] + b"\n" * (at + size >= len(text)))
        for at in range(0, len(text), size)
    ]


@pytest.mark.parametrize("step", [1, 5, 4_096, 1 << 20])
@pytest.mark.parametrize("size", [4_096, 8_192, 16_384])
@pytest.mark.parametrize("text", ["k" * 40_002, "é" * 20_001, "日x" * 9_000, "k" * 32_768])
def test_a_long_line_stays_one_line(text: str, size: int, step: int) -> None:
    data = framed(*cut(text.encode(), size), (1, STAMP + b" next\n"))
    lines = LogParser(framed=True)

    told = [line for at in range(0, len(data), step) for line in lines.feed(data[at : at + step])]
    told += lines.finish()

    assert told == [STAMP + b" o " + text.encode() + b"\n", STAMP + b" o next\n"]


def test_the_parts_of_a_long_line_are_not_mixed_with_another_stream() -> None:
    (first, second), other = cut(b"k" * 20_000, 16_384), (2, STAMP + b" warning\n")
    lines = LogParser(framed=True)

    assert list(lines.feed(framed(first, other, second))) == [
        STAMP + b" e warning\n",
        STAMP + b" o " + b"k" * 20_000 + b"\n",
    ]


def test_the_unfinished_end_of_an_output_is_not_joined_with_the_next_start() -> None:
    lines = LogParser(framed=True)

    told = list(lines.feed(framed((1, STAMP + b" no end"), (1, STAMP + b" started\n"))))

    assert told == [STAMP + b" o no end\n", STAMP + b" o started\n"]


@pytest.mark.parametrize("character", ["é", "日", "💾"])
def test_a_line_beyond_the_limit_is_never_split_inside_a_character(character: str) -> None:
    lines = LogParser(framed=False)
    text = "x" + character * (LINE_LIMIT // len(character.encode()) * 2)

    told = [*lines.feed(STAMP + b" " + text.encode()), *lines.finish()]

    parts = [line.removeprefix(STAMP + b" o ").removesuffix(b"\n").decode() for line in told]
    assert len(parts) > 1
    assert "".join(parts) == text
