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

from flotilla.v1.bus_pb2 import BatchesDurable, DurableNotice
from flotilla.v1.docker_pb2 import DockerInfoBatch
from flotilla.v1.metrics_pb2 import BatchHeader, GenericMetricsBatch, PerformanceSnapshotBatch
from services.ingest import rows
from services.ingest.settings import WriterSettings
from services.ingest.store import containers, gaps, performance, rollup, series
from services.kit import bus, database, subjects
from services.kit.consumer import Consumer
from services.kit.errors import PoisonError, TransientError
from services.kit.health import Health

log = structlog.get_logger(__name__)

BATCH = 500  # messages a transaction

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
        vps_id = subjects.vps_of(message.subject)
        try:
            vps = UUID(vps_id)
        except ValueError as error:
            raise PoisonError(f"{vps_id} is not a server's id") from error
        header = self._add(message, vps)
        self.given_up.extend(gaps.Gap(vps, header.epoch, report) for report in header.drops)
        # Absent from what was replayed: nobody waits to be told.
        edge_id = (message.headers or {}).get(bus.EDGE_HEADER)
        if edge_id is not None:
            self.durable[edge_id][vps_id, header.epoch].append(header.sequence)

    def _add(self, message: Msg, vps: UUID) -> BatchHeader:
        subject, vps_id = message.subject, str(vps)
        if subject == subjects.performance(vps_id):
            snapshots = bus.decode(message.data, PerformanceSnapshotBatch)
            self.performance.extend(rows.performance_rows(vps, snapshots))
            return snapshots.header
        if subject == subjects.docker(vps_id):
            listings = bus.decode(message.data, DockerInfoBatch)
            self.listings.extend(containers.Listing(vps, s) for s in listings.snapshots)
            return listings.header
        if subject == subjects.generic(vps_id):
            points = bus.decode(message.data, GenericMetricsBatch)
            self.points.extend(_points(vps, points))
            return points.header
        raise PoisonError(f"nothing is known to do with {subject}")


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
                _count(
                    "generic",
                    len(load.points),
                    await series.insert_points(connection, load.points),
                )
            if load.given_up:
                await gaps.upsert_gaps(connection, load.given_up)
        await self._tell_edges(load)

    async def _tell_edges(self, load: Load) -> None:
        for edge_id, batches in load.durable.items():
            notice = DurableNotice(
                batches=[
                    BatchesDurable(vps_id=vps_id, epoch=epoch, sequences=sequences)
                    for (vps_id, epoch), sequences in batches.items()
                ]
            )
            try:
                await self._bus.publish(subjects.edge_durable(edge_id), notice)
            except TransientError as error:
                # The rows stand; the agents send the batches again, which tells again.
                log.warning("durable_not_told", edge=edge_id, error=str(error))


def _count(kind: str, rows_given: int, rows_new: int) -> None:
    ROWS.labels(kind, "new").inc(rows_new)
    ROWS.labels(kind, "known").inc(rows_given - rows_new)


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
        ).run()
