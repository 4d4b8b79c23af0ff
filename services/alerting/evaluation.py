"""The evaluation: one instance holds a lease and evaluates; the others stand by."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from uuid import UUID, uuid4

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter

from services.alerting import delivery_store, store
from services.alerting.timing import AlertingTiming
from services.alerting.tracks import Evaluation, Step, Tracks
from services.kit.agents.presence import PresenceBoard
from services.kit.alerts.evaluator import Change, State, is_usable
from services.kit.bus import subjects
from services.kit.bus.connection import Bus
from services.kit.bus.consumer import Consumer
from services.kit.database import pool as database
from services.kit.errors import PoisonError, TransientError
from services.kit.health import Health
from services.kit.metrics import bundles

log = structlog.get_logger(__name__)

MESSAGES = 200  # per evaluation; a bundle is one message and holds up to 64 batches

SAMPLES = Counter(
    "flotilla_alerting_samples_total", "Samples by outcome: evaluated or late", ["outcome"]
)
CHANGES = Counter("flotilla_alerting_changes_total", "Alerts that fired or resolved", ["change"])


class LostLeaseError(TransientError):
    """Another instance evaluates now."""


class Evaluator:
    def __init__(
        self, connection: Bus, pool: database.Pool, health: Health, timing: AlertingTiming
    ) -> None:
        self._bus = connection
        self._pool = pool
        self._timing = timing
        self._holder = uuid4()
        self._tracks = Tracks()
        self._board = PresenceBoard(timing.presence)
        self._valid_until = 0.0  # monotonic
        self._watched_since: float | None = None  # monotonic
        self._detail = "not started"
        self._storing = asyncio.Lock()
        health.checks["alerts"] = lambda: (self._detail != "not started", self._detail)

    async def run(self) -> None:
        """Evaluate while this instance holds the lease, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._board.follow_agents(self._bus), name="presence")
            tasks.create_task(self._board.follow_edges(self._bus), name="edges")
            tasks.create_task(self._take_turns(), name="evaluation")

    async def _take_turns(self) -> None:
        try:
            while True:
                if await self._take_lease():
                    log.info("evaluation_started")
                    try:
                        await self._lead()
                    except ExceptionGroup as errors:  # noqa: F821  Python 3.11
                        _, others = errors.split(LostLeaseError)
                        if others is not None:
                            raise others from None
                        log.warning("evaluation_lost")
                else:
                    await asyncio.sleep(self._timing.renew_interval)
        finally:
            await asyncio.shield(self._release())

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(5), database.transaction(self._pool) as connection:
                await store.release_lease(connection, holder=self._holder)
        except (TransientError, TimeoutError) as error:
            log.warning("lease_not_released", error=str(error))

    async def _take_lease(self) -> bool:
        began = time.monotonic()
        try:
            async with database.transaction(self._pool) as connection:
                if not await store.take_lease(
                    connection, holder=self._holder, seconds=self._timing.lease
                ):
                    self._detail = "standing by"
                    return False
                self._tracks = Tracks()
                found = await store.states(connection)
                await self._load(
                    connection,
                    {(one.rule_id, one.vps_id, one.version): store.state_of(one) for one in found},
                )
        except TransientError as error:
            log.warning("lease_unknown", error=str(error))
            return False
        self._valid_until = began + self._timing.lease
        self._watched_since = None
        return True

    async def _load(
        self,
        connection: database.Connection,
        states: Mapping[tuple[UUID, UUID, int], State] = MappingProxyType({}),
    ) -> None:
        rules = await store.rules(connection)
        servers = await store.servers(connection)
        if self._tracks.load(rules, servers, states):
            await store.resolve_orphans(connection, tracked=self._tracks.keys())
        for rule, reason in list(self._tracks.broken.values()):
            await store.mark_broken(
                connection, rule_id=rule.id, version=rule.version, reason=reason
            )
        self._detail = f"evaluating {len(rules)} rules"

    async def _lead(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            consumer = Consumer(
                self._bus,
                subjects.Stream.TELEMETRY,
                subjects.Durable.ALERTING_EVALUATE_TELEMETRY,
                self.evaluate,
                batch=MESSAGES,
                timing=self._timing.consumer,
            )
            tasks.create_task(consumer.run(), name="telemetry")
            tasks.create_task(self._keep_lease(), name="lease")
            tasks.create_task(self._watch_presence(), name="offline")

    async def _keep_lease(self) -> None:
        stored_at, cleaned_at = time.monotonic(), -math.inf
        while True:
            await asyncio.sleep(self._timing.renew_interval)
            began = time.monotonic()
            try:
                async with self._storing, database.transaction(self._pool) as connection:
                    await self._hold(connection)
                    await self._load(connection)
                    if began - stored_at > self._timing.checkpoint_interval:
                        stored_at = began
                        if pending := self._tracks.pending():
                            await store.put_states(connection, updates=pending)
                    if began - cleaned_at > self._timing.cleaning_interval:
                        cleaned_at = began
                        await delivery_store.delete_old(connection)
                self._valid_until = began + self._timing.lease
            except LostLeaseError:
                raise
            except TransientError as error:
                log.warning("lease_not_renewed", error=str(error))

    async def _hold(self, connection: database.Connection) -> None:
        if not await store.renew_lease(connection, holder=self._holder, seconds=self._timing.lease):
            raise LostLeaseError("Another instance evaluates the rules now.")

    async def evaluate(self, messages: Sequence[Msg]) -> None:
        """Evaluate the samples of messages and store what changed, in one transaction.

        Raises: TransientError: the database is away, or the lease has to be renewed first.
        """
        if time.monotonic() > self._valid_until:
            raise TransientError("The lease of this instance has to be renewed first.")
        async with self._storing:
            evaluation = Evaluation()
            # Messages that are delivered again can come after newer ones.
            for message in sorted(messages, key=lambda one: one.metadata.sequence.stream):
                self._add(evaluation, message)
            await self._store(evaluation)

    def _add(self, evaluation: Evaluation, message: Msg) -> None:
        is_bundle = subjects.is_bundle(message.subject)
        if not is_bundle and not message.subject.endswith(".performance"):
            return
        try:
            batches = bundles.performance(message)
        except PoisonError:
            return  # the writer makes a dead letter of it
        arrived_at = store.to_milliseconds(message.metadata.timestamp)
        for vps_id, batch in batches:
            for snapshot in batch.snapshots:
                usable = is_usable(snapshot.time_unix_ms, arrived_at)
                SAMPLES.labels("evaluated" if usable else "late").inc()
                if usable:
                    self._tracks.evaluate(evaluation, vps_id, snapshot.time_unix_ms, snapshot)

    async def _store(self, evaluation: Evaluation) -> None:
        if evaluation.steps:
            async with database.transaction(self._pool) as connection:
                await self._hold(connection)
                for step in evaluation.steps:
                    await self._store_change(connection, step)
                newest = {id(step.track): step.update for step in evaluation.steps}
                await store.put_states(connection, updates=list(newest.values()))
            for step in evaluation.steps:
                if step.change is not None:
                    CHANGES.labels(step.change).inc()
        evaluation.commit()

    async def _store_change(self, connection: database.Connection, step: Step) -> None:
        if step.change is None:
            return
        age = time.time() - step.state.seen_at / 1000
        is_old = age > self._timing.catch_up
        if step.change is Change.FIRED:
            pause = self._timing.catch_up_pause if is_old else 0.0
            await store.insert_event(connection, update=step.update, value=step.value, pause=pause)
            return
        if is_old:
            await store.forget_notifications(connection, update=step.update)
        await store.resolve_event(connection, update=step.update, value=step.value)

    async def _watch_presence(self) -> None:
        while True:
            await asyncio.sleep(self._timing.presence_interval)
            now = time.monotonic()
            if not self._sees_agents(now):
                self._watched_since = None
                continue
            if self._watched_since is None:
                self._watched_since = now
            if now > self._valid_until:
                continue
            graced = now - self._watched_since < self._timing.grace
            try:
                async with self._storing:
                    await self._store(self._presence(now, graced=graced))
            except LostLeaseError:
                raise
            except TransientError as error:
                log.warning("presence_not_stored", error=str(error))

    def _sees_agents(self, now: float) -> bool:
        """Tell whether presence says something about agents, and not about our own outage."""
        return self._bus.connected and self._board.is_loaded and self._board.has_live_edge(now)

    def _presence(self, now: float, *, graced: bool) -> Evaluation:
        """Evaluate the offline rules. While agents may still be reconnecting, nobody is offline."""
        evaluation = Evaluation()
        at = time.time_ns() // 1_000_000
        for track in self._tracks.offline:
            is_offline = self._board.connected_for(str(track.vps_id), now) is None
            if not (is_offline and graced):
                evaluation.add(track, at, int(is_offline))
        return evaluation
