"""The preview of a rule: the evaluator of the alerting service, over stored samples."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from uuid import UUID

from psycopg import AsyncConnection, sql

from services.gateway.alerts.schemas import Preview, PreviewInterval
from services.gateway.alerts.store import RuleFields
from services.gateway.api import errors
from services.kit.alerts.evaluator import Comparison, Condition, Number, intervals
from services.kit.alerts.metrics import OFFLINE
from services.kit.metrics.tiers import MINUTE, RAW, RAW_TABLE, TierState

MAX_RANGE = timedelta(days=31)
MAX_SAMPLES = 1_000_000
SERVERS_AT_ONCE = 5  # in one query, whose rows are in memory
TYPICAL_INTERVAL = 5.0  # seconds between samples, to choose the source
SILENCE = 90_000  # milliseconds without a sample after which a server counts as offline
STEP = 60_000  # milliseconds

Sample = tuple[int, Number | None]


@dataclass(frozen=True, slots=True)
class Source:
    table: str
    since: datetime
    until: datetime


async def preview(
    connection: AsyncConnection,
    fields: RuleFields,
    *,
    vps_ids: Sequence[UUID],
    start: datetime,
    end: datetime,
) -> Preview:
    """Return when a rule would have fired on these servers.

    Raises:
        RequestError: 422, the range is wrong, or has too many samples.
    """
    end = _checked_end(start, end)
    condition = Condition(
        Comparison(fields.comparison_operator), fields.threshold, fields.duration_seconds * 1000
    )
    sources = await _sources(connection, len(vps_ids), start, end)
    found: list[PreviewInterval] = []
    evaluated = 0
    for at in range(0, len(vps_ids), SERVERS_AT_ONCE):
        rows = await _rows(
            connection,
            fields.metric_type,
            vps_ids=vps_ids[at : at + SERVERS_AT_ONCE],
            sources=sources,
            limit=MAX_SAMPLES - evaluated + 1,
        )
        for vps_id, samples in groupby(rows, key=lambda row: row[0]):
            series: Iterator[Sample] = ((row[1], row[2]) for row in samples)
            if fields.metric_type == OFFLINE:
                series = with_silence(series, _milliseconds(end))
            times, number = intervals(condition, series)
            evaluated += number
            # Other requests go on between two servers.
            await asyncio.sleep(0)
            found += [
                PreviewInterval(
                    vps_id,
                    _time(one.fired_at),
                    None if one.resolved_at is None else _time(one.resolved_at),
                )
                for one in times
            ]
        if evaluated > MAX_SAMPLES:
            raise errors.invalid(
                f"The preview would read more than {MAX_SAMPLES:,} samples. Choose a shorter range"
                " or fewer servers.",
                "end",
            )
    return Preview(sorted(found, key=lambda one: (one.fired_at, one.vps_id)), evaluated)


def _checked_end(start: datetime, end: datetime) -> datetime:
    for name, time in (("start", start), ("end", end)):
        if time.tzinfo is None:
            raise errors.invalid(
                "Give a time with a time zone, such as 2026-11-26T08:00:00Z.", name
            )
    if start >= end:
        raise errors.invalid("`start` must be before `end`.", "start")
    if end - start > MAX_RANGE:
        raise errors.invalid(f"A preview covers at most {MAX_RANGE.days} days.", "end")
    return min(end, datetime.now(UTC))


async def _sources(
    connection: AsyncConnection, servers: int, start: datetime, end: datetime
) -> list[Source]:
    """Choose the samples, or minutes where samples are no longer kept or are too many."""
    cursor = await connection.execute("SELECT tier, rolled_until, complete_from FROM rollup_state")
    states = {tier: TierState(rolled, kept) for tier, rolled, kept in await cursor.fetchall()}
    samples_from, rolled = states[RAW].complete_from, states[MINUTE.name].rolled_until
    span = (end - max(start, samples_from)).total_seconds()
    too_many = servers * span / TYPICAL_INTERVAL > MAX_SAMPLES
    boundary = min(rolled, end) if too_many else min(max(start, samples_from), rolled)
    return [
        Source(table, since, until)
        for table, since, until in (
            (MINUTE.table, start, boundary),
            (RAW_TABLE, max(start, boundary), end),
        )
        if since < until
    ]


async def _rows(
    connection: AsyncConnection,
    metric: str,
    *,
    vps_ids: Sequence[UUID],
    sources: Sequence[Source],
    limit: int,
) -> list[tuple[UUID, int, Number | None]]:
    """Return server, time in milliseconds and value, by server and time."""
    value = sql.SQL("0") if metric == OFFLINE else sql.Identifier(metric)
    parts = [
        sql.SQL(
            "SELECT vps_id, time, {value} AS value FROM {table}"
            " WHERE vps_id = ANY(%(ids)s) AND time >= {since} AND time < {until}"
        ).format(
            value=value,
            table=sql.Identifier(source.table),
            since=sql.Literal(source.since),
            until=sql.Literal(source.until),
        )
        for source in sources
    ]
    if not parts:
        return []
    cursor = await connection.execute(
        sql.SQL(
            "SELECT vps_id, (extract(epoch FROM time) * 1000)::bigint, value FROM ({parts}) AS parts"
            " ORDER BY vps_id, time LIMIT %(limit)s"
        ).format(parts=sql.SQL(" UNION ALL ").join(parts)),
        {"ids": list(vps_ids), "limit": limit},
    )
    return await cursor.fetchall()


def with_silence(samples: Iterator[Sample], end: int) -> Iterator[Sample]:
    """Yield 0 for each sample, and 1 for each minute of a silence.

    The past presence of agents is not stored, so the preview takes a silence for it.
    """
    last: int | None = None
    for time, _ in samples:
        if last is not None:
            yield from _silent(last, time)
        yield time, 0
        last = time
    if last is not None:
        yield from _silent(last, end)


def _silent(since: int, until: int) -> Iterator[Sample]:
    if until - since > SILENCE:
        for time in range(since + STEP, until, STEP):
            yield time, 1


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
