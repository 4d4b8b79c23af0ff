"""The rollup service: rolls samples up, writes traffic records, and drops old data.

Every step is one transaction that first reads the state of the tiers. It may therefore be
interrupted, or taken over by another instance, at any point. Steps are small; after a long stop,
many run one after the other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog
from prometheus_client import Counter, Gauge

from services.ingest import compression, traffic
from services.ingest.settings import RollupSettings
from services.ingest.store import containers, series
from services.ingest.store import rollup as store
from services.kit.database import pool as database
from services.kit.errors import TransientError
from services.kit.health import Health
from services.kit.metrics.tiers import (
    COARSE,
    MINUTE,
    RAW,
    RAW_TABLE,
    TRAFFIC,
    TWO_HOURS,
    Tier,
    TierState,
    floor,
)
from services.kit.service_connection import connect_service

log = structlog.get_logger(__name__)

IDLE_INTERVAL = 2.0  # seconds until the next round when there was nothing to do
RETRY_INTERVAL = 5.0  # seconds until the next round after a failure
RETENTION_INTERVAL = timedelta(minutes=10)
LAG = timedelta(seconds=15)  # samples that arrive within this time are not late
# A step takes a fraction of a second, or some seconds with ten thousand servers.
STEP_TIMEOUT = 120  # seconds per statement
LATE_MINUTES, LATE_BUCKETS = 2_000, 500  # per step
STEPS_IN_A_ROW = 100  # of one kind, before the other kinds have their turn
GONE_CONTAINERS, ENDED_SERIES = 1_000, 5_000  # per step

ROWS = Counter("flotilla_rollup_rows_total", "Buckets created or replaced", ["tier"])
FAILED_STEPS = Counter("flotilla_rollup_failed_steps_total", "Rollup steps that failed", ["kind"])
LATE = Counter(
    "flotilla_rollup_late_minutes_total", "Minutes that received late samples", ["outcome"]
)
BEHIND = Gauge(
    "flotilla_rollup_behind_seconds", "Age of the newest time that is rolled up", ["tier"]
)

Step = Callable[[database.Connection], Awaitable[bool]]


class StandbyError(TransientError):
    """Another instance is rolling up."""


class Rollup:
    def __init__(self, pool: database.Pool, settings: RollupSettings) -> None:
        self._pool = pool
        self._retention = settings.retention()
        self._container_retention = timedelta(days=settings.keep_docker_days)
        self._series_retention = timedelta(days=settings.keep_generic_days)
        self._retained_at: datetime | None = None
        self.progress = "no round has finished yet"
        self.failing: set[str] = set()

    async def catch_up(self) -> None:
        """Run rounds until there is nothing to do.

        Raises:
            StandbyError: another instance is rolling up.
            TransientError: the database is unavailable.
        """
        while await self.round():
            pass

    async def round(self) -> bool:
        """Run some steps of every kind; return True if any had something to do.

        Raises:
            StandbyError: another instance is rolling up.
            TransientError: the database is unavailable, or the steps of one kind took too long.
                In the second case, the other kinds have had their turn.
        """
        worked = False
        postponed: list[TransientError] = []
        for name, kind in KINDS.items():
            try:
                worked |= await self._attempt(name, kind)
            except StandbyError:
                raise
            except TransientError as error:
                postponed.append(error)
                if len(postponed) > 1:
                    # Two kinds failed, so the cause is the database and not the kind.
                    raise postponed[0] from None
        if not worked:
            worked = await self._attempt("retention", (self._drop_old,), limit=1)
        if postponed:
            raise postponed[0]
        return worked

    async def _attempt(
        self, name: str, kind: Sequence[Step], *, limit: int = STEPS_IN_A_ROW
    ) -> bool:
        """Run steps of one kind; return True if any had something to do.

        An unexpected failure is logged and counted, so that the other kinds can go on.
        """
        worked = False
        try:
            for _ in range(limit):
                done = [await self._step(step) for step in kind]
                if not any(done):
                    break
                worked = True
        except TransientError:
            raise
        except Exception:
            # One kind that always fails must not stop the other kinds or other services of the process.
            self.failing.add(name)
            FAILED_STEPS.labels(name).inc()
            log.exception("rollup_failed", kind=name)
        else:
            self.failing.discard(name)
        return worked

    async def _step(self, step: Step) -> bool:
        async with database.transaction(self._pool) as connection:
            if not await store.acquire_lead(connection, seconds=STEP_TIMEOUT):
                raise StandbyError("Standing by: another instance is rolling up.")
            return await step(connection)

    async def _drop_old(self, connection: database.Connection) -> bool:
        """Drop one tier's old chunks, or old containers, or old series.

        Return True if there may be more to drop.
        """
        now = await store.now(connection)
        self._report(await store.states(connection), now)
        if self._retained_at is not None and now - self._retained_at < RETENTION_INTERVAL:
            return False
        for tier, retention in self._retention.items():
            if await drop_old_chunks(connection, tier=tier, before=now - retention):
                return True
        kept_from = now - self._container_retention
        if await containers.drop_old(connection, before=kept_from, limit=GONE_CONTAINERS):
            return True
        await store.force_index_joins(connection)
        kept_from = now - self._series_retention
        if await series.drop_old(connection, before=kept_from, limit=ENDED_SERIES):
            return True
        await compression.enable(connection)
        self._retained_at = now
        return False

    def _report(self, states: dict[str, TierState], now: datetime) -> None:
        behind = {
            tier: (now - state.rolled_until).total_seconds() for tier, state in states.items()
        }
        for tier, seconds in behind.items():
            BEHIND.labels(tier).set(seconds)
        self.progress = f"rolled up to {behind[MINUTE.name]:.0f} s ago"


async def _advance_boundary(connection: database.Connection) -> bool:
    """Move the boundary of the raw tier to the end of the next step of `_roll_minutes`.

    Samples that are stored later with a time before the boundary are late. The boundary moves in
    a transaction before the one that reads the samples, so no sample is missed in between.
    """
    await store.lock_boundary(connection)
    states = await store.states(connection)
    rolled = states[MINUTE.name].rolled_until
    if states[RAW].rolled_until > rolled:
        return False
    since = await _next_start(connection, RAW_TABLE, rolled)
    if since is None:
        return False
    until = floor(since, MINUTE.step) + MINUTE.step
    if until > await store.now(connection) - LAG:
        return False
    await store.set_rolled(connection, tier=MINUTE.name, until=since)
    await store.set_rolled(connection, tier=RAW, until=until)
    return True


async def _roll_minutes(connection: database.Connection) -> bool:
    """Roll the samples up to the boundary."""
    states = await store.states(connection)
    since, until = states[MINUTE.name].rolled_until, states[RAW].rolled_until
    if until <= since:
        return False
    ROWS.labels(MINUTE.name).inc(
        await store.roll(connection, tier=MINUTE, since=since, until=until)
    )
    await store.set_rolled(connection, tier=MINUTE.name, until=until)
    return True


async def _roll_coarse(connection: database.Connection, *, tier: Tier) -> bool:
    states = await store.states(connection)
    since = await _next_start(connection, MINUTE.table, states[tier.name].rolled_until)
    if since is None:
        return False
    until = floor(since, tier.step) + tier.step
    if until > states[MINUTE.name].rolled_until:
        return False
    ROWS.labels(tier.name).inc(await store.roll(connection, tier=tier, since=since, until=until))
    await store.set_rolled(connection, tier=tier.name, until=until)
    return True


async def _roll_traffic(connection: database.Connection) -> bool:
    states = await store.states(connection)
    since = await _next_start(connection, RAW_TABLE, states[TRAFFIC.name].rolled_until)
    limit = floor(states[MINUTE.name].rolled_until, TRAFFIC.width)
    if since is None or limit <= since:
        return await traffic.count(connection, until=states[TRAFFIC.name].rolled_until)
    until = min(since + TRAFFIC.step, limit)
    ROWS.labels(TRAFFIC.name).inc(await traffic.roll(connection, since=since, until=until))
    await store.set_rolled(connection, tier=TRAFFIC.name, until=until)
    return True


async def _next_start(
    connection: database.Connection, table: str, rolled: datetime
) -> datetime | None:
    """Return the start of the next step. Times without chunks are skipped."""
    first = await store.first_chunk_start(connection, table=table, after=rolled)
    return None if first is None else max(rolled, first)


async def _late_minutes(connection: database.Connection) -> bool:
    states = await store.states(connection)
    minutes = await store.pop_late_minutes(
        connection, before=states[MINUTE.name].rolled_until, limit=LATE_MINUTES
    )
    if not minutes:
        return False
    await store.force_index_joins(connection)
    complete, incomplete = split(minutes, states)
    if incomplete:
        await traffic.merge(connection, states=states, minutes=incomplete)
        await store.merge_minutes(connection, minutes=incomplete)
    if complete:
        await store.rebuild(connection, tier=MINUTE, buckets=complete)
        await traffic.rebuild(connection, states=states, minutes=complete)
    for tier in COARSE:
        rolled = states[tier.name].rolled_until
        buckets = {(vps, floor(time, tier.width)) for vps, time in (*complete, *incomplete)}
        late = sorted(bucket for bucket in buckets if bucket[1] < rolled)
        if late:
            await store.record_late_buckets(connection, tier=tier.name, buckets=late)
    lost = len(minutes) - len(complete) - len(incomplete)
    for outcome, count in (("remade", len(complete)), ("merged", len(incomplete)), ("lost", lost)):
        LATE.labels(outcome).inc(count)
    if lost:
        log.warning("late_samples_lost", minutes=lost)
    return True


def split(
    minutes: list[store.BucketKey], states: dict[str, TierState]
) -> tuple[list[store.BucketKey], list[store.BucketKey]]:
    """Return the minutes with all their samples, and those with only the late ones.

    Minutes in the first list are rebuilt. For minutes in the second list, the late samples are merged.
    Minutes that are no longer stored are in neither list.
    """
    samples_from, minutes_from = states[RAW].complete_from, states[MINUTE.name].complete_from
    complete = [minute for minute in minutes if minute[1] >= samples_from]
    incomplete = [
        minute
        for minute in minutes
        if minute[1] < samples_from and floor(minute[1], TWO_HOURS.width) >= minutes_from
    ]
    return complete, incomplete


async def _late_buckets(connection: database.Connection, *, tier: Tier) -> bool:
    buckets = await store.pop_late_buckets(connection, tier=tier.name, limit=LATE_BUCKETS)
    if not buckets:
        return False
    await store.force_index_joins(connection)
    ROWS.labels(tier.name).inc(await store.rebuild(connection, tier=tier, buckets=buckets))
    return True


# Tiers that are made from another one, and must be up to date before its chunks are dropped.
_MADE_FROM = {
    RAW: (MINUTE.name, TRAFFIC.name),
    MINUTE.name: tuple(tier.name for tier in COARSE),
}
_TABLES = {
    RAW: RAW_TABLE,
    **{tier.name: tier.table for tier in (MINUTE, *COARSE, TRAFFIC)},
}


async def drop_old_chunks(connection: database.Connection, *, tier: str, before: datetime) -> bool:
    """Drop a tier's chunks older than `before`, once the tiers made from it are up to date.

    Return True if there may be more to do first, or more to drop.
    """
    states = await store.states(connection)
    limit = min([before, *(states[name].rolled_until for name in _MADE_FROM.get(tier, ()))])
    chunks = await store.chunks_before(connection, table=_TABLES[tier], before=limit)
    if not chunks:
        return False
    until = chunks[-1].range_end
    if tier == RAW:
        await store.lock_out_writers(connection)
        if await store.has_late_minutes(connection, before=until):
            return True
    await store.drop_chunks(connection, tier=tier, table=_TABLES[tier], before=until)
    log.info("chunks_dropped", tier=tier, before=until.isoformat(), chunks=len(chunks))
    return True


KINDS: dict[str, tuple[Step, ...]] = {
    "minutes": (_advance_boundary, _roll_minutes),
    "late-minutes": (_late_minutes,),
    **{tier.name: (partial(_roll_coarse, tier=tier),) for tier in COARSE},
    **{f"late-{tier.name}": (partial(_late_buckets, tier=tier),) for tier in COARSE},
    TRAFFIC.name: (_roll_traffic,),
}


async def run(settings: RollupSettings, health: Health) -> None:
    """Roll up until cancelled. With several instances, one works and the others stand by."""
    async with (
        connect_service(settings, health, settings.nats_rollup_password),
        database.open_pool(settings, health, size=1) as pool,
    ):
        rollup = Rollup(pool, settings)
        failure = ""
        health.checks["rollup"] = lambda: (not failure, failure or rollup.progress)
        while True:
            try:
                await rollup.catch_up()
                failure = f"failing: {', '.join(sorted(rollup.failing))}" if rollup.failing else ""
                pause = RETRY_INTERVAL if failure else IDLE_INTERVAL
            except StandbyError as error:
                failure, rollup.progress, pause = "", str(error), IDLE_INTERVAL
            except TransientError as error:
                failure, pause = str(error), RETRY_INTERVAL
                log.warning("rollup_postponed", error=failure, retry_in=pause)
            await asyncio.sleep(pause)
