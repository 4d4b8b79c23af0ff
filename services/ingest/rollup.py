"""Rolls samples up, keeps the traffic ledger, and drops what is old enough.

Every step is a transaction of its own that finds out by itself where things stand, so that it
may be cut off or be another instance's at any point. Steps are small: after a long stop many
are made one after the other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial

import structlog
from prometheus_client import Counter, Gauge

from services.ingest import compression, traffic
from services.ingest.settings import RollupSettings
from services.ingest.store import containers, series
from services.ingest.store import rollup as store
from services.kit import bus, database, subjects
from services.kit.errors import TransientError
from services.kit.health import Health
from services.kit.tiers import (
    COARSE,
    MINUTE,
    RAW,
    RAW_TABLE,
    TRAFFIC,
    TWO_HOURS,
    State,
    Tier,
    floor,
)

log = structlog.get_logger(__name__)

IDLE = 2.0  # seconds between rounds that found nothing to do
FAILED = 5.0  # seconds before another try
TIDY = timedelta(minutes=10)  # between looks for what is old enough
LAG = timedelta(seconds=15)  # samples that come within are not late
STEP_SECONDS = 120  # a step takes a fraction of a second; ten thousand servers, some
LATE_MINUTES, LATE_BUCKETS = 2_000, 500  # a step
IN_A_ROW = 100  # steps of a kind before others have their turn
GONE_CONTAINERS, ENDED_SERIES = 1_000, 5_000  # a step

ROWS = Counter("flotilla_rollup_rows_total", "Buckets made, or made again", ["tier"])
FAILED_STEPS = Counter("flotilla_rollup_failed_steps_total", "Steps that failed", ["kind"])
LATE = Counter("flotilla_rollup_late_minutes_total", "Minutes that got samples late", ["outcome"])
BEHIND = Gauge("flotilla_rollup_behind_seconds", "Since the end of what is rolled up", ["tier"])

Step = Callable[[database.Connection], Awaitable[bool]]


class StandbyError(TransientError):
    """Another instance is at work."""


class Rollup:
    def __init__(self, pool: database.Pool, settings: RollupSettings) -> None:
        self._pool = pool
        self._keep = settings.kept()
        self._keep_containers = timedelta(days=settings.keep_docker_days)
        self._keep_series = timedelta(days=settings.keep_generic_days)
        self._tidied: datetime | None = None
        self.standing = "has not begun"
        self.failing: set[str] = set()

    async def catch_up(self) -> None:
        """Steps until there is nothing to do.

        Raises:
            StandbyError: another instance is at work.
            TransientError: the database is away.
        """
        while await self.round():
            pass

    async def round(self) -> bool:
        """Some steps of every kind; whether any found something to do.

        Raises:
            StandbyError: another instance is at work.
            TransientError: the database is away, or a kind took too long, after the others' turn.
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
                    raise postponed[0] from None  # it is not the kind: the database is away
        if not worked:
            worked = await self._attempt("retention", (self._tidy,), most=1)
        if postponed:
            raise postponed[0]
        return worked

    async def _attempt(self, name: str, kind: Sequence[Step], *, most: int = IN_A_ROW) -> bool:
        """Steps of a kind; whether any found something to do. One that fails holds up no other."""
        worked = False
        try:
            for _ in range(most):
                done = [await self._step(step) for step in kind]
                if not any(done):
                    break
                worked = True
        except TransientError:
            raise
        except Exception:
            # What can never succeed must not take the others along, nor the process' other services.
            self.failing.add(name)
            FAILED_STEPS.labels(name).inc()
            log.exception("rollup_failed", kind=name)
        else:
            self.failing.discard(name)
        return worked

    async def _step(self, step: Step) -> bool:
        async with database.transaction(self._pool) as connection:
            if not await store.lead(connection, seconds=STEP_SECONDS):
                raise StandbyError("another instance is at work")
            return await step(connection)

    async def _tidy(self, connection: database.Connection) -> bool:
        """Drop one tier's old chunks, or old containers, or old series."""
        now = await store.now(connection)
        self._report(await store.states(connection), now)
        if self._tidied is not None and now - self._tidied < TIDY:
            return False
        for tier, keep in self._keep.items():
            if await drop_old(connection, tier=tier, before=now - keep):
                return True
        kept_from = now - self._keep_containers
        if await containers.drop_old(connection, before=kept_from, limit=GONE_CONTAINERS):
            return True
        await store.expect_few(connection)
        kept_from = now - self._keep_series
        if await series.drop_old(connection, before=kept_from, limit=ENDED_SERIES):
            return True
        await compression.switch_on(connection)
        self._tidied = now
        return False

    def _report(self, states: dict[str, State], now: datetime) -> None:
        behind = {
            tier: (now - state.rolled_until).total_seconds() for tier, state in states.items()
        }
        for tier, seconds in behind.items():
            BEHIND.labels(tier).set(seconds)
        self.standing = f"minutes rolled {behind[MINUTE.name]:.0f} s ago"


async def _seal(connection: database.Connection) -> bool:
    """Say how far the next step goes, before it looks: what is stored after is late."""
    await store.hold_seal(connection)
    states = await store.states(connection)
    rolled = states[MINUTE.name].rolled_until
    if states[RAW].rolled_until > rolled:
        return False
    since = await _next(connection, RAW_TABLE, rolled)
    if since is None:
        return False
    until = floor(since, MINUTE.step) + MINUTE.step
    if until > await store.now(connection) - LAG:
        return False
    await store.set_rolled(connection, tier=MINUTE.name, until=since)
    await store.set_rolled(connection, tier=RAW, until=until)
    return True


async def _roll_minutes(connection: database.Connection) -> bool:
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
    since = await _next(connection, MINUTE.table, states[tier.name].rolled_until)
    if since is None:
        return False
    until = floor(since, tier.step) + tier.step
    if until > states[MINUTE.name].rolled_until:
        return False
    ROWS.labels(tier.name).inc(await store.roll(connection, tier=tier, since=since, until=until))
    await store.set_rolled(connection, tier=tier.name, until=until)
    return True


async def _traffic(connection: database.Connection) -> bool:
    states = await store.states(connection)
    since = await _next(connection, RAW_TABLE, states[TRAFFIC.name].rolled_until)
    limit = floor(states[MINUTE.name].rolled_until, TRAFFIC.width)
    if since is None or limit <= since:
        return await traffic.count(connection, until=states[TRAFFIC.name].rolled_until)
    until = min(since + TRAFFIC.step, limit)
    ROWS.labels(TRAFFIC.name).inc(await traffic.roll(connection, since=since, until=until))
    await store.set_rolled(connection, tier=TRAFFIC.name, until=until)
    return True


async def _next(connection: database.Connection, table: str, rolled: datetime) -> datetime | None:
    """Where the next step begins: long stretches without data are leapt over."""
    first = await store.first_chunk(connection, table=table, after=rolled)
    return None if first is None else max(rolled, first)


async def _late_minutes(connection: database.Connection) -> bool:
    states = await store.states(connection)
    marks = await store.take_late_minutes(
        connection, before=states[MINUTE.name].rolled_until, limit=LATE_MINUTES
    )
    if not marks:
        return False
    await store.expect_few(connection)
    whole, parts = split(marks, states)
    if parts:
        await traffic.merge(connection, states=states, marks=parts)
        await store.merge_minutes(connection, marks=parts)
    if whole:
        await store.remake(connection, tier=MINUTE, marks=whole)
        await traffic.remake(connection, states=states, marks=whole)
    for tier in COARSE:
        rolled = states[tier.name].rolled_until
        buckets = {(vps, floor(time, tier.width)) for vps, time in (*whole, *parts)}
        again = sorted(mark for mark in buckets if mark[1] < rolled)
        if again:
            await store.mark_buckets(connection, tier=tier.name, marks=again)
    lost = len(marks) - len(whole) - len(parts)
    for outcome, count in (("remade", len(whole)), ("merged", len(parts)), ("lost", lost)):
        LATE.labels(outcome).inc(count)
    if lost:
        log.warning("too_late_to_roll_up", minutes=lost)
    return True


def split(
    marks: list[store.Mark], states: dict[str, State]
) -> tuple[list[store.Mark], list[store.Mark]]:
    """Minutes to make again from all samples, and minutes of which only what came late is there.

    Those from before the tier of minutes are neither: nothing is left to add them to.
    """
    samples_from, minutes_from = states[RAW].complete_from, states[MINUTE.name].complete_from
    whole = [mark for mark in marks if mark[1] >= samples_from]
    parts = [
        mark
        for mark in marks
        if mark[1] < samples_from and floor(mark[1], TWO_HOURS.width) >= minutes_from
    ]
    return whole, parts


async def _late_buckets(connection: database.Connection, *, tier: Tier) -> bool:
    marks = await store.take_late_buckets(connection, tier=tier.name, limit=LATE_BUCKETS)
    if not marks:
        return False
    await store.expect_few(connection)
    ROWS.labels(tier.name).inc(await store.remake(connection, tier=tier, marks=marks))
    return True


# What is made from a tier must be made before it goes.
_MADE_FROM = {
    RAW: (MINUTE.name, TRAFFIC.name),
    MINUTE.name: tuple(tier.name for tier in COARSE),
}
_TABLES = {
    RAW: RAW_TABLE,
    **{tier.name: tier.table for tier in (MINUTE, *COARSE, TRAFFIC)},
}


async def drop_old(connection: database.Connection, *, tier: str, before: datetime) -> bool:
    """Drop a tier's chunks that hold nothing newer, once all is made that is made from them."""
    states = await store.states(connection)
    limit = min([before, *(states[name].rolled_until for name in _MADE_FROM.get(tier, ()))])
    chunks = await store.chunks_before(connection, table=_TABLES[tier], before=limit)
    if not chunks:
        return False
    until = chunks[-1].range_end
    if tier == RAW:
        await store.hold_writers(connection)
        if await store.has_late_minutes(connection, before=until):
            return True
    await store.drop_chunks(connection, tier=tier, table=_TABLES[tier], before=until)
    log.info("dropped", tier=tier, before=until.isoformat(), chunks=len(chunks))
    return True


KINDS: dict[str, tuple[Step, ...]] = {
    "minutes": (_seal, _roll_minutes),
    "late-minutes": (_late_minutes,),
    **{tier.name: (partial(_roll_coarse, tier=tier),) for tier in COARSE},
    **{f"late-{tier.name}": (partial(_late_buckets, tier=tier),) for tier in COARSE},
    TRAFFIC.name: (_traffic,),
}


async def run(settings: RollupSettings, health: Health) -> None:
    """Roll up until cancelled; several instances take turns."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            bus.connect(
                settings, subjects.User.ROLLUP, settings.nats_rollup_password, name="rollup"
            )
        )
        await stack.enter_async_context(bus.status_served(connection, health))
        pool = await stack.enter_async_context(database.open_pool(settings, health, size=1))
        rollup = Rollup(pool, settings)
        failure = ""
        health.checks["rollup"] = lambda: (not failure, failure or rollup.standing)
        while True:
            try:
                await rollup.catch_up()
                failure = f"fails: {', '.join(sorted(rollup.failing))}" if rollup.failing else ""
                pause = FAILED if failure else IDLE
            except StandbyError as error:
                failure, rollup.standing, pause = "", str(error), IDLE
            except TransientError as error:
                failure, pause = str(error), FAILED
                log.warning("rollup_postponed", error=failure, retry_in=pause)
            await asyncio.sleep(pause)
