import pytest

from agent.docker.inspect import unix_ms


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2026-11-22T23:19:30.417825313Z", 1_795_389_570_418),
        ("2026-11-22T23:19:30Z", 1_795_389_570_000),
        ("2026-11-23T00:19:30.5+01:00", 1_795_389_570_500),
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
        (None, 0),
        ("yesterday", 0),
    ],
)
def test_times_of_the_engine(told: str | None, expected: int) -> None:
    assert unix_ms(told) == expected
