"""The choice of granularity and of the tiers that a history window is read from."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from services.gateway.api.errors import RequestError
from services.gateway.api.time_range import MAX_POINTS, WIDTHS, TimeRange
from services.gateway.metrics.history import choose, plan
from services.kit.metrics.tiers import (
    EPOCH,
    MINUTE,
    RAW,
    TEN_MINUTES,
    TIERS,
    TWO_HOURS,
    TierState,
    floor,
)

NOW = datetime(2026, 3, 29, 1, 23, 45, 678_901, tzinfo=UTC)


def states(**complete_from: datetime) -> dict[str, TierState]:
    rolled = floor(NOW, MINUTE.width)
    return {
        name: TierState(floor(rolled, width), complete_from.get(f"at_{name}", EPOCH))
        for name, width in [(RAW, MINUTE.width), *((tier.name, tier.width) for tier in TIERS)]
    }


def test_no_window_has_more_than_a_thousand_points() -> None:
    dice = random.Random(6)
    kept = states(
        at_raw=NOW - timedelta(hours=50),
        at_1m=NOW - timedelta(days=30),
        at_10m=NOW - timedelta(days=180),
    )
    for _ in range(5_000):
        span = timedelta(seconds=10 ** dice.uniform(-1, 8.7))
        end = NOW - timedelta(seconds=dice.choice([0, 10 ** dice.uniform(0, 8)]))
        start = end - span
        width = WIDTHS[choose("auto", TimeRange(start, end), kept)]
        parts = plan(start, end, width, kept)
        first = floor(min(part.since for part in parts), width)
        assert -((first - end) // width) <= MAX_POINTS
        assert parts[-1].until == end
        assert [part.until for part in parts[:-1]] == [part.since for part in parts[1:]]
        read = sum(
            (part.until - part.since)
            / (timedelta(seconds=1) if part.tier is None else part.tier.width)
            for part in parts
        )
        assert read <= 90_000
        if span < timedelta(minutes=15) and start > NOW - timedelta(hours=48):
            assert width == timedelta(seconds=1)


@pytest.mark.parametrize(
    ("age", "span", "granularity"),
    [
        (timedelta(hours=1), timedelta(hours=1), "5s"),
        (timedelta(hours=70), timedelta(hours=1), "1m"),
        (timedelta(days=7), timedelta(days=7), "30m"),
        (timedelta(days=40), timedelta(hours=1), "10m"),
        (timedelta(days=300), timedelta(hours=1), "2h"),
        (timedelta(days=365), timedelta(days=365), "12h"),
        (timedelta(days=3_000), timedelta(hours=3), "2h"),
        (timedelta(days=3_000), timedelta(days=3_000), "7d"),
    ],
)
def test_the_finest_that_is_kept_of_the_time_is_chosen(
    age: timedelta, span: timedelta, granularity: str
) -> None:
    kept = states(
        at_raw=NOW - timedelta(hours=50),
        at_1m=NOW - timedelta(days=30),
        at_10m=NOW - timedelta(days=180),
        at_2h=NOW - timedelta(days=1826),
    )
    assert choose("auto", TimeRange(NOW - age, NOW - age + span), kept) == granularity


def test_a_window_of_ten_minutes_points_is_read_from_three_places() -> None:
    kept = states()
    parts = plan(NOW - timedelta(days=5), NOW, WIDTHS["10m"], kept)
    assert [part.tier for part in parts] == [TEN_MINUTES, MINUTE, None]
    parts = plan(NOW - timedelta(days=300), NOW - timedelta(days=1), WIDTHS["12h"], kept)
    assert [part.tier for part in parts] == [TWO_HOURS]


def test_what_is_too_fine_or_no_longer_kept_is_refused_with_what_to_ask_for() -> None:
    kept = states(at_raw=NOW - timedelta(hours=50))
    with pytest.raises(RequestError, match="Request `5s` or coarser"):
        choose("1s", TimeRange(NOW - timedelta(hours=1), NOW), kept)
    with pytest.raises(RequestError, match=r"no longer stored for that time\. Use `1m`"):
        choose("5s", TimeRange(NOW - timedelta(hours=70), NOW - timedelta(hours=69)), kept)
    assert choose("2h", TimeRange(NOW - timedelta(hours=70), NOW), kept) == "2h"
