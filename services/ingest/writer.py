"""Moves telemetry from the stream into the database."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter

from flotilla.v1.bus_pb2 import BatchesDurable, BatchRefused, DurableNotice
from flotilla.v1.docker_pb2 import DockerInfoBatch
from flotilla.v1.metrics_pb2 import BatchHeader, GenericMetricsBatch, PerformanceSnapshotBatch
from services.ingest import rows
from services.ingest.settings import WriterSettings
from services.ingest.store import containers, gaps, performance, rollup, series
from services.kit import bundles, bus, database, subjects
from services.kit.consumer import Consumer
from services.kit.errors import PoisonError, TransientError
from services.kit.health import Health

log = structlog.get_logger(__name__)

BATCH = 200  # messages a transaction, of which bundles hold up to 64 batches

ROWS = Counter("flotilla_writer_rows_total", "Rows by what became of them", ["kind", "outcome"])


@dataclass(slots=True)
class Load:
    """What one transaction writes."""

    performance: list[rows.Row] = field(default_factory=list)
    listings: list[containers.Listing] = field(default_factory=list)
    points: list[series.Point] = field(default_factory=list)
    given_up: list[gaps.Gap] = field(default_factory=list)
    # By edge: server and epoch → sequences.
    durable: dict[str, dict[tuple[str, str], list[int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, message: Msg) -> None:
        """Raises: PoisonError."""
        # Absent from what was replayed: nobody waits to be told.
        edge_id = (message.headers or {}).get(bus.EDGE_HEADER)
        for vps, header in self._add(message):
            self.given_up.extend(gaps.Gap(vps, header.epoch, report) for report in header.drops)
            if edge_id is not None:
                self.durable[edge_id][str(vps), header.epoch].append(header.sequence)

    def _add(self, message: Msg) -> list[tuple[UUID, BatchHeader]]:
        subject = message.subject
        if subjects.is_bundle(subject):
            return [
                self._add_performance(_uuid(vps_id), batch)
                for vps_id, batch in bundles.performance(message)
            ]
        vps = _uuid(subjects.vps_of(subject))
        vps_id = str(vps)
        if subject == subjects.performance(vps_id):
            return [self._add_performance(vps, bus.decode(message.data, PerformanceSnapshotBatch))]
        if subject == subjects.docker(vps_id):
            listings = bus.decode(message.data, DockerInfoBatch)
            self.listings.extend(containers.Listing(vps, s) for s in listings.snapshots)
            return [(vps, listings.header)]
        if subject == subjects.generic(vps_id):
            points = bus.decode(message.data, GenericMetricsBatch)
            self.points.extend(_points(vps, points))
            return [(vps, points.header)]
        raise PoisonError(f"nothing is known to do with {subject}")

    def _add_performance(
        self, vps: UUID, batch: PerformanceSnapshotBatch
    ) -> tuple[UUID, BatchHeader]:
        self.performance.extend(rows.performance_rows(vps, batch))
        return vps, batch.header


class Writer:
    def __init__(self, connection: bus.Bus, pool: database.Pool) -> None:
        self._bus = connection
        self._pool = pool

    async def write(self, messages: Sequence[Msg]) -> None:
        """One transaction for all of them, then tell the edges they came through.

        Raises:
            TransientError: the database is away.
            PoisonError: a message can never be written.
        """
        load = Load()
        for message in messages:
            load.add(message)
        async with database.transaction(self._pool) as connection:
            _count(
                "performance",
                len(load.performance),
                await performance.insert_performance(connection, load.performance),
            )
            await rollup.mark_late(connection, rows=load.performance)
            if load.listings:
                points = sum(len(listing.snapshot.containers) for listing in load.listings)
                _count(
                    "docker", points, await containers.insert_listings(connection, load.listings)
                )
            if load.points:
                stored = await series.insert_points(connection, load.points)
                _count("generic", len(load.points), stored.new, dropped=stored.dropped)
            if load.given_up:
                await gaps.upsert_gaps(connection, load.given_up)
        await self._tell_edges(load)

    async def set_aside(self, message: Msg, error: Exception) -> None:
        """Tell the edge of a dead letter, so that its agent does not send it again for ever."""
        load = Load()
        try:
            load.add(message)
        except PoisonError:
            return  # it names no batch, so no agent waits
        reason = (str(error).splitlines() or [type(error).__name__])[0][:500]
        for edge_id, batches in load.durable.items():
            refused = [
                BatchRefused(vps_id=vps_id, epoch=epoch, sequence=sequence, reason=reason)
                for (vps_id, epoch), sequences in batches.items()
                for sequence in sequences
            ]
            await self._tell(edge_id, DurableNotice(refused=refused))

    async def _tell_edges(self, load: Load) -> None:
        for edge_id, batches in load.durable.items():
            durable = [
                BatchesDurable(vps_id=vps_id, epoch=epoch, sequences=sequences)
                for (vps_id, epoch), sequences in batches.items()
            ]
            await self._tell(edge_id, DurableNotice(batches=durable))

    async def _tell(self, edge_id: str, notice: DurableNotice) -> None:
        try:
            await self._bus.publish(subjects.edge_durable(edge_id), notice)
        except TransientError as error:
            # The rows stand; the agents send the batches again, which tells again.
            log.warning("durable_not_told", edge=edge_id, error=str(error))


def _uuid(vps_id: str) -> UUID:
    try:
        return UUID(vps_id)
    except ValueError as error:
        raise PoisonError(f"{vps_id} is not a server's id") from error


def _count(kind: str, rows_given: int, rows_new: int, *, dropped: int = 0) -> None:
    ROWS.labels(kind, "new").inc(rows_new)
    ROWS.labels(kind, "known").inc(rows_given - rows_new - dropped)
    if dropped:
        ROWS.labels(kind, "dropped").inc(dropped)


def _points(vps: UUID, batch: GenericMetricsBatch) -> list[series.Point]:
    return [
        series.Point(
            vps,
            metric.name,
            tuple(sorted(metric.labels.items())),
            datetime.fromtimestamp(metric.time_unix_ms / 1000, UTC),
            metric.value,
        )
        for metric in batch.metrics
    ]


async def run(settings: WriterSettings, health: Health) -> None:
    """Write until cancelled; what is in hand is committed first."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            bus.connect(
                settings, subjects.User.WRITER, settings.nats_writer_password, name="writer"
            )
        )
        await stack.enter_async_context(bus.status_served(connection, health))
        pool = await stack.enter_async_context(database.open_pool(settings, health, size=4))
        writer = Writer(connection, pool)
        await Consumer(
            connection,
            subjects.Stream.TELEMETRY,
            subjects.Durable.INGEST_WRITE_TELEMETRY,
            writer.write,
            batch=BATCH,
            set_aside=writer.set_aside,
        ).run()
