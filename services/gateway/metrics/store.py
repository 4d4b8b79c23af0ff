"""Queries of metrics, custom series and data gaps. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import class_row, dict_row, scalar_row

from services.kit.metrics.fields import METRICS, Metric
from services.kit.metrics.tiers import (
    GAUGES,
    MINUTE,
    RAW_TABLE,
    SPIKY,
    TOTALS,
    Aggregate,
    Tier,
    TierState,
    column,
    has,
)

_LATEST = sql.SQL(
    "SELECT m.time, m.vps_id::text, {names}, m.clock_corrected, m.detail FROM vps"
    " CROSS JOIN LATERAL (SELECT * FROM performance_metrics p WHERE p.vps_id = vps.id"
    " AND p.time > now() - interval '7 days' ORDER BY p.time DESC LIMIT 1) m"
).format(
    names=sql.SQL(", ").join([sql.Identifier("m", metric.name) for metric in METRICS]),
)

_EXTREMES = {
    Aggregate.MIN: sql.SQL("min({name})"),
    Aggregate.MAX: sql.SQL("max({name})"),
    Aggregate.P95: sql.SQL("percentile_cont(0.95) WITHIN GROUP (ORDER BY {name})"),
}
_REAL = sql.SQL("({})::float4")
# The average of the largest integers may be too large by a rounding error. The bound is the largest
# float8 that fits. Not `least`: it ignores null.
_INTEGER = sql.SQL(
    "CASE WHEN {0} > 9223372036854774784 THEN 9223372036854774784 ELSE round({0})::bigint END"
)

# The time until the next sample; for the newest sample, the time since the previous one.
_SAMPLE_WEIGHT = sql.SQL(
    "extract(epoch FROM least(interval '1 minute', coalesce("
    "lead(time) OVER (ORDER BY time) - time, time - lag(time) OVER (ORDER BY time),"
    " interval '1 minute')))"
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a time range, and the tier that it is read from; None for the samples."""

    tier: Tier | None
    since: datetime
    until: datetime


async def states(connection: AsyncConnection) -> dict[str, TierState]:
    cursor = await connection.execute("SELECT tier, rolled_until, complete_from FROM rollup_state")
    return {tier: TierState(rolled, complete) for tier, rolled, complete in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Selection:
    """The metrics to read, and the aggregates to read beside their averages."""

    metrics: Sequence[Metric]
    aggregates: Sequence[Aggregate]

    def columns(self) -> list[str]:
        """Return the columns of `buckets` after the time: the metrics, then the aggregates."""
        return [metric.name for metric in self.metrics] + [
            column(metric.name, aggregate) for metric, aggregate in self.extras()
        ]

    def extras(self) -> list[tuple[Metric, Aggregate]]:
        """Return the metrics that have the aggregates, each with its aggregate."""
        return [
            (metric, aggregate)
            for aggregate in self.aggregates
            for metric in self.metrics
            if metric.name in (SPIKY if aggregate is Aggregate.P95 else GAUGES)
        ]


async def buckets(
    connection: AsyncConnection,
    *,
    vps_id: UUID,
    parts: Sequence[Part],
    width: timedelta,
    selection: Selection,
    limit: int,
) -> list[tuple[Any, ...]]:
    """Return the time and the selected columns, one row for each bucket that has data."""
    sources: list[sql.Composable] = [
        sql.SQL(
            "SELECT time, {columns} FROM {table}"
            " WHERE vps_id = %(vps_id)s AND time >= {since} AND time < {until}"
        ).format(
            columns=_source_columns(part.tier, selection),
            table=sql.Identifier(RAW_TABLE if part.tier is None else part.tier.table),
            since=sql.Literal(part.since),
            until=sql.Literal(part.until),
        )
        for part in parts
    ]
    cursor = await connection.execute(
        sql.SQL(
            "SELECT time_bucket(%(width)s, time) AS bucket, {columns} FROM ({sources}) AS parts"
            " GROUP BY bucket ORDER BY bucket LIMIT %(limit)s"
        ).format(
            columns=_bucket_columns(selection, weighted=width >= MINUTE.width),
            sources=sql.SQL(" UNION ALL ").join(sources),
        ),
        {"vps_id": vps_id, "width": width, "limit": limit},
    )
    return await cursor.fetchall()


def _source_columns(tier: Tier | None, selection: Selection) -> sql.Composed:
    """Select the seconds that a row stands for, and its values.

    A sample stands for the time until the next one, at most a minute.
    The average takes the place of an aggregate that the tier has no column for.
    """
    weight = _SAMPLE_WEIGHT if tier is None else sql.Literal(tier.width.total_seconds())
    names: list[sql.Composable] = [sql.SQL("{}::float8 AS weight").format(weight)]
    names += [sql.Identifier(metric.name) for metric in selection.metrics]
    for metric, aggregate in selection.extras():
        column_name = column(metric.name, aggregate)
        stored = column_name if has(tier, metric.name, aggregate) else metric.name
        names.append(
            sql.SQL("{} AS {}").format(
                sql.Identifier(stored),
                sql.Identifier(column_name),
            )
        )
    return sql.SQL(", ").join(names)


def _bucket_columns(selection: Selection, *, weighted: bool) -> sql.Composed:
    parts: list[sql.Composable] = [
        _bucket_value(metric, weighted=weighted) for metric in selection.metrics
    ]
    parts += [
        _typed(metric, _EXTREMES[aggregate], column(metric.name, aggregate))
        for metric, aggregate in selection.extras()
    ]
    return sql.SQL(", ").join(parts)


def _bucket_value(metric: Metric, *, weighted: bool) -> sql.Composed:
    if metric.counter or metric.name in TOTALS:
        return _typed(metric, sql.SQL("max({name})"), metric.name)
    if weighted:
        average = sql.SQL(
            "sum({name}::float8 * weight) / sum(weight) FILTER (WHERE {name} IS NOT NULL)"
        )
        return _typed(metric, average, metric.name)
    return _typed(metric, sql.SQL("avg({name})"), metric.name)


def _typed(metric: Metric, expression: sql.SQL, column_name: str) -> sql.Composed:
    value = expression.format(name=sql.Identifier(column_name))
    return (_INTEGER if metric.integer else _REAL).format(value)


async def latest(connection: AsyncConnection) -> list[dict[str, Any]]:
    """Return the newest row of every server that sent samples in the last seven days."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_LATEST)
        return await cursor.fetchall()


async def newest_details(
    connection: AsyncConnection,
    *,
    vps_id: UUID,
    start: datetime,
    end: datetime,
    width: timedelta,
    limit: int,
) -> list[tuple[datetime, bytes]]:
    """Return the start of each bucket and its newest detail, the oldest first."""
    cursor = await connection.execute(
        "SELECT time_bucket(%(width)s, time) AS bucket, last(detail, time)"
        " FROM performance_metrics WHERE vps_id = %(vps_id)s AND time >= %(start)s"
        " AND time < %(end)s AND detail IS NOT NULL GROUP BY bucket ORDER BY bucket LIMIT %(limit)s",
        {"vps_id": vps_id, "start": start, "end": end, "width": width, "limit": limit},
    )
    return await cursor.fetchall()


# `avg` is not used: it computes squares and fails for values above 1e154. A sum of values within
# these bounds does not overflow.
_AVERAGE = "sum(least(greatest(value, '-1e300'), '1e300'))::float8 / count(*)"


@dataclass(frozen=True, slots=True)
class Series:
    """A custom series, and its newest point if it has one."""

    id: int
    name: str
    labels: dict[str, str]
    last_time: datetime | None
    last_value: float | None


@dataclass(frozen=True, slots=True)
class SeriesBucket:
    time: datetime
    value: float
    min: float
    max: float


async def list_series(connection: AsyncConnection, *, vps_id: UUID, limit: int) -> list[Series]:
    """Return the series of a server; the one with the newest point is first."""
    async with connection.cursor(row_factory=class_row(Series)) as cursor:
        await cursor.execute(
            "SELECT s.id, s.name, s.labels, m.time AS last_time, m.value AS last_value"
            " FROM generic_series s LEFT JOIN LATERAL (SELECT time, value FROM generic_metrics"
            " WHERE series_id = s.id ORDER BY time DESC LIMIT 1) m ON true"
            " WHERE s.vps_id = %(vps_id)s"
            " ORDER BY m.time DESC NULLS LAST, s.name, s.labels LIMIT %(limit)s",
            {"vps_id": vps_id, "limit": limit},
        )
        return await cursor.fetchall()


async def has_series(connection: AsyncConnection, *, vps_id: UUID, series_id: int) -> bool:
    """Tell whether the server has this series."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT EXISTS (SELECT FROM generic_series"
            " WHERE id = %(series_id)s AND vps_id = %(vps_id)s)",
            {"series_id": series_id, "vps_id": vps_id},
        )
        return bool(await cursor.fetchone())


async def series_buckets(
    connection: AsyncConnection,
    *,
    series_id: int,
    start: datetime,
    end: datetime,
    width: timedelta,
    limit: int,
) -> list[SeriesBucket]:
    """Return averages, minima and maxima per bucket, the oldest first."""
    async with connection.cursor(row_factory=class_row(SeriesBucket)) as cursor:
        await cursor.execute(
            f"SELECT time_bucket(%(width)s, time) AS time, {_AVERAGE} AS value,"
            " min(value) AS min, max(value) AS max FROM generic_metrics"
            " WHERE series_id = %(series_id)s AND time >= %(start)s AND time < %(end)s"
            " GROUP BY 1 ORDER BY 1 LIMIT %(limit)s",
            {"series_id": series_id, "start": start, "end": end, "width": width, "limit": limit},
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Gap:
    kind: Literal["performance", "docker", "generic"]
    reason: Literal["space", "age", "memory", "refused", "damaged"]
    count: int
    first_at: datetime
    last_at: datetime


async def gaps_in(
    connection: AsyncConnection, *, vps_id: UUID, start: datetime, end: datetime, limit: int
) -> list[Gap]:
    """Return the gaps that overlap the time range, the oldest first."""
    async with connection.cursor(row_factory=class_row(Gap)) as cursor:
        await cursor.execute(
            "SELECT kind, reason, count, first_at, last_at FROM gaps"
            " WHERE vps_id = %(vps_id)s AND last_at >= %(start)s AND first_at < %(end)s"
            " ORDER BY first_at LIMIT %(limit)s",
            {"vps_id": vps_id, "start": start, "end": end, "limit": limit},
        )
        return await cursor.fetchall()
