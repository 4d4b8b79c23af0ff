"""Metrics over time. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from services.kit.sample import METRICS
from services.kit.tiers import (
    GAUGES,
    RAW_TABLE,
    SPIKY,
    TOTALS,
    Aggregate,
    State,
    Tier,
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
    Aggregate.MIN: sql.SQL("min({name})::float4"),
    Aggregate.MAX: sql.SQL("max({name})::float4"),
    Aggregate.P95: sql.SQL("percentile_cont(0.95) WITHIN GROUP (ORDER BY {name})::float4"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a window, and the tier it is read from; None for the samples."""

    tier: Tier | None
    since: datetime
    until: datetime


async def freeze(connection: AsyncConnection) -> None:
    """The transaction, which has only begun, sees the database as it is now until it ends."""
    await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


async def states(connection: AsyncConnection) -> dict[str, State]:
    cursor = await connection.execute("SELECT tier, rolled_until, complete_from FROM rollup_state")
    return {tier: State(rolled, complete) for tier, rolled, complete in await cursor.fetchall()}


def columns(aggregates: Sequence[Aggregate]) -> list[str]:
    """What `buckets` answers after the time: every metric, then its aggregates."""
    return [metric.name for metric in METRICS] + [
        column(name, aggregate) for name, aggregate in _extras(aggregates)
    ]


def _extras(aggregates: Sequence[Aggregate]) -> list[tuple[str, Aggregate]]:
    return [
        (name, aggregate)
        for aggregate in aggregates
        for name in (SPIKY if aggregate is Aggregate.P95 else GAUGES)
    ]


async def buckets(
    connection: AsyncConnection,
    *,
    vps_id: UUID,
    parts: Sequence[Part],
    width: timedelta,
    aggregates: Sequence[Aggregate],
    limit: int,
) -> list[tuple[Any, ...]]:
    """Time and `columns`, a row for each bucket that has data."""
    sources: list[sql.Composable] = [
        sql.SQL(
            "SELECT time, {columns} FROM {table}"
            " WHERE vps_id = %(vps_id)s AND time >= {since} AND time < {until}"
        ).format(
            columns=_source(part.tier, aggregates),
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
            columns=_combined(aggregates, weighted=any(part.tier for part in parts)),
            sources=sql.SQL(" UNION ALL ").join(sources),
        ),
        {"vps_id": vps_id, "width": width, "limit": limit},
    )
    return await cursor.fetchall()


def _source(tier: Tier | None, aggregates: Sequence[Aggregate]) -> sql.Composed:
    """A row's samples and values. Where a tier has no column for an aggregate, the average stands."""
    names: list[sql.Composable] = [sql.SQL("1 AS samples" if tier is None else "samples")]
    names += [sql.Identifier(metric.name) for metric in METRICS]
    for name, aggregate in _extras(aggregates):
        own = column(name, aggregate)
        names.append(
            sql.SQL("{} AS {}").format(
                sql.Identifier(own if has(tier, name, aggregate) else name), sql.Identifier(own)
            )
        )
    return sql.SQL(", ").join(names)


def _combined(aggregates: Sequence[Aggregate], *, weighted: bool) -> sql.Composed:
    parts: list[sql.Composable] = []
    for metric in METRICS:
        if metric.counter:
            how = sql.SQL("max({name})")
        elif metric.name in TOTALS:
            how = sql.SQL("max({name})::float4")
        elif weighted:
            how = sql.SQL(
                "(sum({name}::float8 * samples)"
                " / sum(samples) FILTER (WHERE {name} IS NOT NULL))::float4"
            )
        else:
            how = sql.SQL("avg({name})::float4")
        parts.append(how.format(name=sql.Identifier(metric.name)))
    parts += [
        _EXTREMES[aggregate].format(name=sql.Identifier(column(name, aggregate)))
        for name, aggregate in _extras(aggregates)
    ]
    return sql.SQL(", ").join(parts)


async def latest(connection: AsyncConnection) -> list[dict[str, Any]]:
    """The newest row of every server that was heard of in the last week."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_LATEST)
        return await cursor.fetchall()
