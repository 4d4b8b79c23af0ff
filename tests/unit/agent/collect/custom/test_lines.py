import pytest

from agent.collect.custom.lines import SERIES_LIMIT, Point, format_line, parse, parse_line


def test_a_line_is_a_name_a_value_and_labels() -> None:
    assert parse_line("queue_length 3") == Point("queue_length", (), 3)
    assert parse_line("disk.free 1.5e9  mount=/ host=a=b") == Point(
        "disk.free", (("host", "a=b"), ("mount", "/")), 1.5e9
    )
    assert parse_line('free 1 mount="/my disk" empty=') == Point(
        "free", (("empty", ""), ("mount", "/my disk")), 1
    )


@pytest.mark.parametrize(
    "line",
    [
        "name",
        "name x",
        "name nan",
        "name inf",
        "9name 1",
        "na me 1",
        f"{'n' * 201} 1",
        "cpu-load 1",
        "námé 1",
        "name 1 label",
        "name 1 9=x",
        "name 1 a=1 a=2",
        "name 1 =x",
        'name 1 a="x',
        f"name 1 a={'v' * 300}",
        "name 1 " + " ".join(f"l{number}=x" for number in range(20)),
        "name 1 " + " ".join(f"{name}={'é' * 128}" for name in "abcd"),
    ],
)
def test_a_malformed_line_is_counted_and_left_out(line: str) -> None:
    parsed = parse(f"# a comment\n\n{line}\ngood 1\n".encode())

    assert parsed.malformed == 1
    assert [point.name for point in parsed.points] == ["good"]


def test_a_line_that_is_not_utf8_is_malformed() -> None:
    assert parse(b"\xff\xfe 1\ngood 1").malformed == 1


def test_a_repeated_series_is_malformed_and_series_beyond_the_limit_are_surplus() -> None:
    lines = [f"m 1 n={number}" for number in range(SERIES_LIMIT + 7)]

    parsed = parse("\n".join(["m 5 n=0", *lines]).encode())

    assert len(parsed.points) == SERIES_LIMIT
    assert parsed.points[0].value == 5
    assert (parsed.malformed, parsed.surplus) == (1, 7)


def test_a_formatted_line_parses_to_the_same_point() -> None:
    line = format_line("m", 2, {"a": "x y", "b": "it's", "c": ""})

    assert parse_line(line) == Point("m", (("a", "x y"), ("b", "it's"), ("c", "")), 2)
