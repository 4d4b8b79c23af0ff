import itertools
import random
from typing import Any

import pytest

from flotilla.v1.command_pb2 import CommandResponse
from services.gateway.runs.output import OutputReader, Text
from services.kit.agents.commands import MAX_OUTPUT

TEXT = "one ä two 漢字 🚢 end\n"


def part(stdout: bytes = b"", stderr: bytes = b"", **fields: object) -> CommandResponse:
    response = CommandResponse(stdout=stdout, stderr=stderr)
    response.MergeFrom(CommandResponse(**fields))  # type: ignore[arg-type]
    return response


def joined(texts: list[Text], stream: str = "stdout") -> str:
    return "".join(text.data for text in texts if text.stream == stream)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


def test_the_text_is_the_same_however_its_bytes_are_cut() -> None:
    data = TEXT.encode()
    chance = random.Random(1)
    for _ in range(300):
        pieces = cut(data, chance.choices(range(len(data) + 1), k=4))
        reader = OutputReader()
        texts = [
            text
            for number, piece in enumerate(pieces, 1)
            for text in reader.take(part(piece, last=number == len(pieces)))
        ]
        assert joined(texts) == TEXT
        assert [text.read for text in texts] == sorted(text.read for text in texts)
        assert texts[-1].read == len(data)


def test_a_repeat_from_the_start_gives_only_what_is_new() -> None:
    data = TEXT.encode()
    for place, again in itertools.product(range(len(data) + 1), repeat=2):
        reader = OutputReader()
        texts = reader.take(part(data[:place], b"err"))
        reader.restart()
        for piece in (data[:again], data[again:]):
            texts += reader.take(part(piece))
        texts += reader.take(part(stderr=b"error", last=True))
        assert joined(texts) == TEXT
        assert joined(texts, "stderr") == "error"


def test_another_reader_goes_on_where_the_stored_text_ends() -> None:
    data = TEXT.encode()
    for place in range(len(data) + 1):
        first = OutputReader()
        before = first.take(part(data[:place]))
        stored = before[-1].read if before else 0
        second = OutputReader(stdout_read=stored)
        after = second.take(part(data, last=True))
        assert joined(before + after) == TEXT


def test_a_character_that_is_never_completed_is_replaced_at_the_end() -> None:
    reader = OutputReader()
    assert joined(reader.take(part(b"a\xc3"))) == "a"
    assert joined(reader.take(part(last=True))) == "\ufffd"


@pytest.mark.parametrize(
    "fields",
    [
        {"status": CommandResponse.STATUS_REFUSED},
        {"failure": CommandResponse.FAILURE_DISCONNECTED},
    ],
)
def test_an_answer_that_breaks_off_completes_no_character(fields: dict[str, Any]) -> None:
    reader = OutputReader()
    texts = reader.take(part(b"a\xc3", last=True, **fields))
    reader.restart()
    texts += reader.take(part("aä".encode(), last=True))
    assert joined(texts) == "aä"


def test_a_zero_byte_and_what_is_no_utf_8_are_replaced() -> None:
    assert joined(OutputReader().take(part(b"a\0b\xff"))) == "a\ufffdb\ufffd"


def test_no_more_is_kept_than_the_bound_of_both_streams_and_that_is_said() -> None:
    reader = OutputReader()
    texts = reader.take(part(b"x" * (MAX_OUTPUT - 10), b"y" * 4))
    assert reader.truncated is False
    texts += reader.take(part("ä".encode() * 10, b"z"))
    assert reader.truncated is True
    assert len(joined(texts).encode()) + len(joined(texts, "stderr").encode()) == MAX_OUTPUT
    assert joined(texts).endswith("xäää")
    reader.restart()
    assert reader.take(part(b"x" * MAX_OUTPUT, last=True)) == []
