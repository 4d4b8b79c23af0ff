"""Where history is read from, and what becomes of what comes late: the parts without a database."""

import random
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.gateway.errors import RequestError
from services.gateway.history import MAX_POINTS, WIDTHS, choose, plan
from services.gateway.traffic import count
from services.ingest.rollup import split
from services.kit.sample import METRICS
from services.kit.tiers import (
    COUNTERS,
    EPOCH,
    GAUGES,
    MINUTE,
    RAW,
    TEN_MINUTES,
    TIERS,
    TOTALS,
    TWO_HOURS,
    State,
    floor,
    tier_of,
)

NOW = datetime(2026, 3, 29, 1, 23, 45, 678_901, tzinfo=UTC)


def states(**complete_from: datetime) -> dict[str, State]:
    rolled = floor(NOW, MINUTE.width)
    return {
        name: State(floor(rolled, width), complete_from.get(f"at_{name}", EPOCH))
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
        width = WIDTHS[choose("auto", start, end, kept)]
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
    assert choose("auto", NOW - age, NOW - age + span, kept) == granularity


def test_a_window_of_ten_minutes_points_is_read_from_three_places() -> None:
    kept = states()
    parts = plan(NOW - timedelta(days=5), NOW, WIDTHS["10m"], kept)
    assert [part.tier for part in parts] == [TEN_MINUTES, MINUTE, None]
    parts = plan(NOW - timedelta(days=300), NOW - timedelta(days=1), WIDTHS["12h"], kept)
    assert [part.tier for part in parts] == [TWO_HOURS]


def test_what_is_too_fine_or_no_longer_kept_is_refused_with_what_to_ask_for() -> None:
    kept = states(at_raw=NOW - timedelta(hours=50))
    with pytest.raises(RequestError, match="ask for `5s` or coarser"):
        choose("1s", NOW - timedelta(hours=1), NOW, kept)
    with pytest.raises(RequestError, match="no longer kept of that time: ask for `1m`"):
        choose("5s", NOW - timedelta(hours=70), NOW - timedelta(hours=69), kept)
    assert choose("2h", NOW - timedelta(hours=70), NOW, kept) == "2h"


def test_every_metric_is_a_gauge_a_total_or_a_counter() -> None:
    assert sorted((*GAUGES, *TOTALS, *COUNTERS)) == sorted(metric.name for metric in METRICS)


def test_buckets_are_counted_from_the_epoch() -> None:
    assert floor(NOW, TWO_HOURS.width) == datetime(2026, 3, 29, 0, tzinfo=UTC)
    assert floor(NOW, MINUTE.width) == datetime(2026, 3, 29, 1, 23, tzinfo=UTC)
    assert floor(EPOCH - timedelta(seconds=1), MINUTE.width) == EPOCH - timedelta(minutes=1)
    tiers = [tier_of(timedelta(seconds=seconds)) for seconds in (1, 59, 60, 599, 600, 7200, 1e6)]
    assert tiers == [None, None, MINUTE, MINUTE, TEN_MINUTES, TWO_HOURS, TWO_HOURS]


def test_late_minutes_are_remade_where_samples_are_and_merged_where_minutes_are() -> None:
    vps_id = uuid4()
    day = floor(NOW, timedelta(days=1))
    kept = states(at_raw=day - timedelta(days=2), at_1m=day - timedelta(days=30))
    whole = [(vps_id, day - timedelta(days=2)), (vps_id, day)]
    parts = [(vps_id, day - timedelta(days=2, minutes=1)), (vps_id, day - timedelta(days=30))]
    lost = [(vps_id, day - timedelta(days=30, minutes=1))]
    assert split([*whole, *parts, *lost], kept) == (whole, parts)


@pytest.mark.parametrize(
    ("direction", "counted"), [("in", 7), ("out", 5), ("both", 12), ("max", 7)]
)
def test_traffic_counts_as_the_vendor_does(direction: str, counted: int) -> None:
    assert count(direction, 7, 5) == counted
    assert count(direction, -1, -1) == 0
