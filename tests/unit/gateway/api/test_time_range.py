from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.gateway.api import time_range
from services.gateway.api.errors import RequestError
from services.gateway.api.time_range import MAX_POINTS, TimeRange, finest_for, provide_points

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_range_without_a_start_begins_before_its_end() -> None:
    assert time_range.time_range(None, NOON, default=HOUR) == TimeRange(NOON - HOUR, NOON)


def test_a_range_without_an_end_ends_now() -> None:
    before = datetime.now(UTC)
    found = time_range.time_range(None, None, default=HOUR)
    assert before <= found.until <= datetime.now(UTC)
    assert found.length == HOUR


def test_times_are_converted_to_utc_and_are_utc_where_they_have_no_zone() -> None:
    berlin = NOON.astimezone(timezone(timedelta(hours=1)))
    naive = (NOON - HOUR).replace(tzinfo=None)
    found = time_range.time_range(naive, berlin, default=HOUR)
    assert found == TimeRange(NOON - HOUR, NOON)
    assert found.until.tzinfo is UTC


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (NOON, NOON),
        (NOON, NOON - HOUR),
        (None, datetime.min.replace(tzinfo=UTC)),
        (datetime.max.replace(tzinfo=timezone(-HOUR)), None),
    ],
)
def test_a_range_of_no_length_or_outside_of_all_times_names_its_fields(
    start: datetime | None, end: datetime | None
) -> None:
    with pytest.raises(RequestError) as refused:
        time_range.time_range(start, end, default=HOUR)
    assert refused.value.fields == ("start", "end")


def test_no_span_gives_more_than_a_thousand_points() -> None:
    seconds = 0.001
    while (name := time_range.finest(timedelta(seconds=seconds))) is not None:
        width = time_range.WIDTHS[name]
        # The worst start is just before a bucket's edge.
        assert timedelta(seconds=seconds) / width + 1 <= time_range.MAX_POINTS
        seconds *= 1.07
    assert timedelta(seconds=seconds) > timedelta(days=365 * 19)


def test_points_have_the_granularity_that_is_asked_for() -> None:
    hour = TimeRange(NOON - HOUR, NOON)
    assert provide_points(hour).granularity == finest_for("auto", hour)
    points = provide_points(hour, "5m")
    assert (points.granularity, points.width) == ("5m", timedelta(minutes=5))


def test_a_granularity_that_gives_too_many_points_is_refused() -> None:
    with pytest.raises(RequestError, match=f"more than {MAX_POINTS} points") as refused:
        finest_for("1s", TimeRange(NOON - HOUR, NOON))
    assert refused.value.fields == ("granularity",)


def test_a_range_of_more_than_19_years_is_refused() -> None:
    with pytest.raises(RequestError, match="19 years"):
        finest_for("auto", TimeRange(NOON - timedelta(days=365 * 20), NOON))
