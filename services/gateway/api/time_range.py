"""Query parameters for a time range and for the width of the points in it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from litestar.di import NamedDependency
from litestar.params import Parameter

from services.gateway.api import errors

Granularity = Literal[
    "1s", "5s", "10s", "30s", "1m", "2m", "5m", "10m", "30m", "1h", "2h", "6h", "12h", "1d", "7d"
]
MAX_POINTS = 1_000
WIDTHS: dict[Granularity, timedelta] = {
    "1s": timedelta(seconds=1),
    "5s": timedelta(seconds=5),
    "10s": timedelta(seconds=10),
    "30s": timedelta(seconds=30),
    "1m": timedelta(minutes=1),
    "2m": timedelta(minutes=2),
    "5m": timedelta(minutes=5),
    "10m": timedelta(minutes=10),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "2h": timedelta(hours=2),
    "6h": timedelta(hours=6),
    "12h": timedelta(hours=12),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
}


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Time range from `since` up to `until`, both in UTC."""

    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        return self.until - self.since


@dataclass(frozen=True, slots=True)
class Points:
    """Time range and width of the requested points."""

    range: TimeRange
    granularity: Granularity

    @property
    def width(self) -> timedelta:
        return WIDTHS[self.granularity]


UseTimeRange = NamedDependency[TimeRange]
UsePoints = NamedDependency[Points]

End = Annotated[datetime | None, Parameter(description="Default: now")]


def provide_hour(
    start: Annotated[
        datetime | None, Parameter(description="Default: an hour before `end`")
    ] = None,
    end: End = None,
) -> TimeRange:
    """Provide the time range of a request; the default is the last hour.

    Raises:
        RequestError: see `time_range`.
    """
    return time_range(start, end, default=timedelta(hours=1))


def provide_day(
    start: Annotated[datetime | None, Parameter(description="Default: a day before `end`")] = None,
    end: End = None,
) -> TimeRange:
    """Provide the time range of a request; the default is the last day.

    Raises:
        RequestError: see `time_range`.
    """
    return time_range(start, end, default=timedelta(days=1))


def provide_points(
    time_range: UseTimeRange,
    granularity: Annotated[
        Literal["auto"] | Granularity,
        Parameter(
            description="Width of a point; `auto` selects the finest with at most 1,000 points"
        ),
    ] = "auto",
) -> Points:
    """Provide the time range and granularity of a request.

    Raises:
        RequestError: see `finest_for`.
    """
    best = finest_for(granularity, time_range)
    return Points(time_range, best if granularity == "auto" else granularity)


def time_range(start: datetime | None, end: datetime | None, *, default: timedelta) -> TimeRange:
    """Return the range from `start` up to `end`. Times without a zone are in UTC.

    The default of `end` is now. The default of `start` is `end` minus `default`.

    Raises:
        RequestError: `start` is not before `end`, or a time is outside the supported range.
    """
    try:
        until = _utc(end) if end is not None else datetime.now(UTC)
        since = _utc(start) if start is not None else until - default
    except OverflowError:
        raise errors.invalid(
            "`start` or `end` is outside the supported range of times.", "start", "end"
        ) from None
    if since >= until:
        raise errors.invalid("`start` must be before `end`.", "start", "end")
    return TimeRange(since, until)


def finest(span: timedelta) -> Granularity | None:
    """Return the finest granularity with at most `MAX_POINTS` in `span`; None if there is none.

    One point is kept in reserve, because a range seldom starts at the edge of a point.
    """
    for name, width in WIDTHS.items():
        if span / width <= MAX_POINTS - 1:
            return name
    return None


def finest_for(asked: Literal["auto"] | Granularity, time_range: TimeRange) -> Granularity:
    """Return the finest allowed granularity for the range.

    Raises:
        RequestError: `asked` is finer, or the range is too long for every granularity.
    """
    best = finest(time_range.length)
    if best is None:
        raise errors.invalid(
            "The range from `start` to `end` must not exceed 19 years.", "start", "end"
        )
    if asked != "auto" and WIDTHS[asked] < WIDTHS[best]:
        raise errors.invalid(
            f"`{asked}` would give more than {MAX_POINTS} points. Request `{best}` or coarser,"
            " or a shorter range.",
            "granularity",
        )
    return best


def _utc(time: datetime) -> datetime:
    """Convert to UTC. A time without a zone counts as UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
