"""Metrics over a window, in at most a thousand points."""

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
from services.kit import database
from services.kit.access import Action
from services.kit.sample import METRICS, rfc3339

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
        Literal["auto"] | Granularity, Parameter(description="Width of a point")
    ] = "auto",
) -> History:
    try:
        until = _utc(end) if end is not None else datetime.now(UTC)
        since = _utc(start) if start is not None else until - timedelta(hours=1)
    except OverflowError:
        raise errors.invalid("There are no such times.") from None
    if since >= until:
        raise errors.invalid("`start` must be before `end`.")
    name = _granularity(granularity, until - since)
    async with database.transaction(runtime.pool) as connection:
        owned(request, await fleet.get(connection, vps_id=vps_id))
        rows = await store.buckets(
            connection,
            vps_id=vps_id,
            start=since,
            end=until,
            width=WIDTHS[name],
            limit=MAX_POINTS,
        )
    return msgspec.convert(_columns(name, rows), History)


def _granularity(asked: Literal["auto"] | Granularity, span: timedelta) -> Granularity:
    best = finest(span)
    if best is None:
        raise errors.invalid("The window is longer than 19 years.")
    if asked == "auto":
        return best
    if WIDTHS[asked] < WIDTHS[best]:
        raise errors.invalid(
            f"`{asked}` would give more than {MAX_POINTS} points: ask for `{best}` or coarser,"
            " or for a shorter window."
        )
    return asked


def _columns(name: str, rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    columns = list(zip(*rows, strict=True)) or [()] * (1 + len(METRICS))
    return {
        "granularity": name,
        "time": [rfc3339(time) for time in columns[0]],
        **{metric.name: column for metric, column in zip(METRICS, columns[1:], strict=True)},
    }


def _utc(time: datetime) -> datetime:
    """A time without a zone is taken as UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
