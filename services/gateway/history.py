"""Metrics over a window, in at most a thousand points."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import get
from litestar.params import FromPath, Parameter

from services.gateway import errors
from services.gateway.guard import ACTION, AuthedRequest, owned
from services.gateway.runtime import UseRuntime
from services.gateway.schemas import Granularity, History
from services.gateway.store import fleet
from services.gateway.store import history as store
from services.gateway.store.history import Part
from services.kit import database
from services.kit.access import Action
from services.kit.sample import rfc3339
from services.kit.tiers import (
    MINUTE,
    RAW,
    TEN_MINUTES,
    TWO_HOURS,
    Aggregate,
    State,
    Tier,
    floor,
    tier_of,
)

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


# Coarsest first: what one has not rolled up yet is read from the next.
_FINER: dict[Tier | None, tuple[Tier, ...]] = {
    TWO_HOURS: (TWO_HOURS, MINUTE),
    TEN_MINUTES: (TEN_MINUTES, MINUTE),
    MINUTE: (MINUTE,),
    None: (),
}
States = Mapping[str, State]


def finest(span: timedelta) -> Granularity | None:
    """The finest granularity that gives `span` at most `MAX_POINTS`; None for too long a span.

    One bucket is kept in reserve: a window seldom starts on a bucket's edge.
    """
    for name, width in WIDTHS.items():
        if span / width <= MAX_POINTS - 1:
            return name
    return None


@get(
    "/vps/{vps_id:uuid}/metrics/historical",
    operation_id="history",
    summary="Metrics over a window",
    tags=["Metrics"],
    opt={ACTION: Action.VPS_READ},
)
async def historical(
    *,
    request: AuthedRequest,
    vps_id: FromPath[UUID],
    runtime: UseRuntime,
    start: Annotated[
        datetime | None, Parameter(description="Default: an hour before `end`")
    ] = None,
    end: Annotated[datetime | None, Parameter(description="Default: now")] = None,
    granularity: Annotated[
        Literal["auto"] | Granularity,
        Parameter(
            description="Width of a point; `auto` for the finest that is kept of that time and"
            " gives at most 1,000 points"
        ),
    ] = "auto",
    aggregates: Annotated[
        str,
        Parameter(
            pattern=r"^((min|max|p95)(,(min|max|p95))*)?$",
            description="Columns to add beside the averages, such as `cpu_usage_max`:"
            " `min`, `max`, `p95`, separated by commas",
        ),
    ] = "",
) -> History:
    since, until = window(start, end)
    wanted = [kind for kind in Aggregate if kind in aggregates.split(",")]
    async with database.transaction(runtime.pool) as connection:
        await store.freeze(connection)
        owned(request, await fleet.get(connection, vps_id=vps_id))
        states = await store.states(connection)
        name = choose(granularity, since, until, states)
        rows = await store.buckets(
            connection,
            vps_id=vps_id,
            parts=plan(since, until, WIDTHS[name], states),
            width=WIDTHS[name],
            aggregates=wanted,
            limit=MAX_POINTS,
        )
    return msgspec.convert(_columns(name, wanted, rows), History)


def window(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    """In UTC; by default the hour before `end`, which is now by default.

    Raises:
        RequestError: it has no length, or lies outside of time.
    """
    try:
        until = _utc(end) if end is not None else datetime.now(UTC)
        since = _utc(start) if start is not None else until - timedelta(hours=1)
    except OverflowError:
        raise errors.invalid("There are no such times.") from None
    if since >= until:
        raise errors.invalid("`start` must be before `end`.")
    return since, until


def finest_for(
    asked: Literal["auto"] | Granularity, since: datetime, until: datetime
) -> Granularity:
    """The finest granularity that may be asked for of the window.

    Raises:
        RequestError: what was asked for is finer, or the window too long for any.
    """
    best = finest(until - since)
    if best is None:
        raise errors.invalid("The window is longer than 19 years.")
    if asked != "auto" and WIDTHS[asked] < WIDTHS[best]:
        raise errors.invalid(
            f"`{asked}` would give more than {MAX_POINTS} points: ask for `{best}` or coarser,"
            " or for a shorter window."
        )
    return best


def choose(
    asked: Literal["auto"] | Granularity, since: datetime, until: datetime, states: States
) -> Granularity:
    """The granularity to answer with.

    Raises:
        RequestError: what was asked for is too fine for the window, or no longer kept of it.
    """
    best = finest_for(asked, since, until)
    kept = next(
        (
            name
            for name, width in WIDTHS.items()
            if width >= WIDTHS[best] and _complete_from(tier_of(width), states) <= since
        ),
        # Nothing reaches so far back: the tier that is kept longest has what there is.
        best if WIDTHS[best] >= TWO_HOURS.width else "2h",
    )
    if asked == "auto":
        return kept
    if WIDTHS[asked] < WIDTHS[kept]:
        raise errors.invalid(
            f"`{asked}` is no longer kept of that time: ask for `{kept}` or coarser."
        )
    return asked


def _complete_from(tier: Tier | None, states: States) -> datetime:
    return states[RAW if tier is None else tier.name].complete_from


def plan(since: datetime, until: datetime, width: timedelta, states: States) -> list[Part]:
    """Where to read the window from, so that each moment is read once.

    A tier answers up to where it is rolled; what follows is read from the minutes, and then from
    the samples.
    """
    tier = tier_of(width)
    parts = []
    at = since if tier is None else _floor(since, tier.width)
    for source in _FINER[tier]:
        rolled = min(states[source.name].rolled_until, until)
        if at < rolled:
            parts.append(Part(source, at, rolled))
            at = rolled
    if at < until or not parts:
        parts.append(Part(None, at, until))
    return parts


def _floor(time: datetime, width: timedelta) -> datetime:
    try:
        return floor(time, width)
    except OverflowError:
        return time


def _columns(
    granularity: str, aggregates: list[Aggregate], rows: list[tuple[Any, ...]]
) -> dict[str, Any]:
    names = ["time", *store.columns(aggregates)]
    columns = dict(zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True))
    columns["time"] = tuple(map(rfc3339, columns["time"]))
    return {"granularity": granularity, **columns}


def _utc(time: datetime) -> datetime:
    """A time without a zone is taken as UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
