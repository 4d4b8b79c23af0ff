"""History of metrics over a time range, in at most 1,000 points."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from litestar import get
from litestar.di import Provide
from litestar.params import Parameter

from services.gateway.api import errors
from services.gateway.api.compression import COMPRESSED
from services.gateway.api.rules import ACTION
from services.gateway.api.time_range import (
    MAX_POINTS,
    WIDTHS,
    Granularity,
    TimeRange,
    UseTimeRange,
    finest_for,
)
from services.gateway.api.transaction import UseConnection, open_snapshot
from services.gateway.metrics import store
from services.gateway.metrics.schemas import History
from services.gateway.metrics.store import Part
from services.gateway.servers.access import IN_TRANSACTION, OwnedServer
from services.kit.access import Action
from services.kit.metrics.fields import METRICS, Metric, rfc3339
from services.kit.metrics.tiers import (
    MINUTE,
    RAW,
    TEN_MINUTES,
    TWO_HOURS,
    Aggregate,
    Tier,
    TierState,
    floor,
    tier_of,
)

# The tiers to read for a tier's points, coarsest first. A time that one tier has not rolled up yet is
# read from the next tier, and finally from the samples.
_SOURCES: dict[Tier | None, tuple[Tier, ...]] = {
    TWO_HOURS: (TWO_HOURS, MINUTE),
    TEN_MINUTES: (TEN_MINUTES, MINUTE),
    MINUTE: (MINUTE,),
    None: (),
}
States = Mapping[str, TierState]
_METRICS = {metric.name: metric for metric in METRICS}


@get(
    "/vps/{vps_id:uuid}/metrics/historical",
    operation_id="history",
    summary="Get metrics over a time range",
    tags=["Metrics"],
    dependencies={**IN_TRANSACTION, "db": Provide(open_snapshot)},
    opt={ACTION: Action.METRICS_READ},
    middleware=COMPRESSED,
)
async def historical(
    *,
    server: OwnedServer,
    db: UseConnection,
    time_range: UseTimeRange,
    granularity: Annotated[
        Literal["auto"] | Granularity,
        Parameter(
            description="Width of a point; `auto` is the finest that is stored for that time and"
            " gives at most 1,000 points"
        ),
    ] = "auto",
    metrics: Annotated[
        str,
        Parameter(
            description="Metrics to return, such as `cpu_usage,mem_used`, separated by commas;"
            " all of them by default",
        ),
    ] = "",
    aggregates: Annotated[
        str,
        Parameter(
            pattern=r"^((min|max|p95)(,(min|max|p95))*)?$",
            description="Columns to add beside the averages, such as `cpu_usage_max`:"
            " `min`, `max`, `p95`, separated by commas",
        ),
    ] = "",
) -> History:
    selection = store.Selection(
        metrics=selected(metrics),
        aggregates=[kind for kind in Aggregate if kind in aggregates.split(",")],
    )
    states = await store.states(db)
    name = choose(granularity, time_range, states)
    rows = await store.buckets(
        db,
        vps_id=server.id,
        parts=plan(time_range.since, time_range.until, WIDTHS[name], states),
        width=WIDTHS[name],
        selection=selection,
        limit=MAX_POINTS,
    )
    return msgspec.convert(_columns(name, selection, rows), History)


def selected(names: str) -> list[Metric]:
    """Return the metrics with these names, which are separated by commas; all if there are none.

    Raises:
        RequestError: there is no metric with one of the names.
    """
    if not names:
        return list(METRICS)
    named = list(dict.fromkeys(names.split(",")))
    if unknown := [name for name in named if name not in _METRICS]:
        raise errors.invalid(
            f"There is no metric `{unknown[0][:100]}`. Use one or more of"
            f" {', '.join(_METRICS)}, separated by commas.",
            "metrics",
        )
    return [_METRICS[name] for name in named]


def choose(
    asked: Literal["auto"] | Granularity, time_range: TimeRange, states: States
) -> Granularity:
    """Return the granularity of the answer.

    Raises:
        RequestError: `asked` is too fine for the range, or no longer stored for it.
    """
    best = finest_for(asked, time_range)
    stored = next(
        (
            name
            for name, width in WIDTHS.items()
            if width >= WIDTHS[best] and _complete_from(tier_of(width), states) <= time_range.since
        ),
        # No tier is complete for this range. The tier that is stored longest has the most data.
        best if WIDTHS[best] >= TWO_HOURS.width else "2h",
    )
    if asked == "auto":
        return stored
    if WIDTHS[asked] < WIDTHS[stored]:
        raise errors.invalid(
            f"`granularity={asked}` is no longer stored for that time. Use `{stored}` or a coarser one.",
            "granularity",
        )
    return asked


def _complete_from(tier: Tier | None, states: States) -> datetime:
    return states[RAW if tier is None else tier.name].complete_from


def plan(since: datetime, until: datetime, width: timedelta, states: States) -> list[Part]:
    """Divide the range into parts that are each read from one tier, so that no time is read twice.

    A tier is read up to the time that it has rolled up. The minutes follow, and then the samples.
    """
    tier = tier_of(width)
    parts = []
    position = since if tier is None else _floor(since, tier.width)
    for source in _SOURCES[tier]:
        rolled = min(states[source.name].rolled_until, until)
        if position < rolled:
            parts.append(Part(source, position, rolled))
            position = rolled
    if position < until or not parts:
        parts.append(Part(None, position, until))
    return parts


def _floor(time: datetime, width: timedelta) -> datetime:
    try:
        return floor(time, width)
    except OverflowError:
        return time


def _columns(
    granularity: str, selection: store.Selection, rows: list[tuple[Any, ...]]
) -> dict[str, Any]:
    names = ["time", *selection.columns()]
    columns = dict(zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True))
    columns["time"] = tuple(map(rfc3339, columns["time"]))
    return {"granularity": granularity, **columns}
