"""The writer service: moves telemetry from the stream into the database."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter

from flotilla.v1.bus_pb2 import BatchesDurable, BatchRefused, DurableNotice
from flotilla.v1.docker_pb2 import DockerInfoBatch
from flotilla.v1.metrics_pb2 import BatchHeader, GenericMetricsBatch, PerformanceSnapshotBatch
from services.ingest.settings import WriterSettings
from services.ingest.store import containers, gaps, performance, rollup, rows, series
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.bus.consumer import DEFAULT_TIMING, Consumer, ConsumerTiming
from services.kit.database import pool as database
from services.kit.errors import PoisonError, TransientError
from services.kit.health import Health
from services.kit.metrics import bundles
from services.kit.service_connection import connect_service

log = structlog.get_logger(__name__)

MESSAGES_PER_TRANSACTION = 200  # a bundle is one message and holds up to 64 batches

ROWS = Counter(
    "flotilla_writer_rows_total",
    "Received rows, by outcome: new, known (a repeat), or dropped (too many series)",
    ["kind", "outcome"],
)


@dataclass(slots=True)
class PendingWrites:
    """Rows and notices of one transaction."""

    performance: list[rows.Row] = field(default_factory=list)
    listings: list[containers.Listing] = field(default_factory=list)
    points: list[series.Point] = field(default_factory=list)
    given_up: list[gaps.Gap] = field(default_factory=list)
    # Sequences to report as durable, by edge, then by server and epoch.
    durable: dict[str, dict[tuple[str, str], list[int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, message: Msg) -> None:
        """Add a message's rows.

        Raises: PoisonError.
        """
        # A replayed message has no such header: no agent waits for its notice.
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
        raise PoisonError(f"The writer has no handler for the subject {subject}.")

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
        """Write all messages in one transaction, then notify the edges that published them.

        Raises:
            TransientError: the database is unavailable.
            PoisonError: a message can never be written.
        """
        pending = PendingWrites()
        for message in messages:
            pending.add(message)
        async with database.transaction(self._pool) as connection:
            _count(
                "performance",
                len(pending.performance),
                await performance.insert_performance(connection, pending.performance),
            )
            await rollup.record_late_minutes(connection, rows=pending.performance)
            if pending.listings:
                points = sum(len(listing.snapshot.containers) for listing in pending.listings)
                _count(
                    "docker", points, await containers.insert_listings(connection, pending.listings)
                )
            if pending.points:
                stored = await series.insert_points(connection, pending.points)
                _count("generic", len(pending.points), stored.new, dropped=stored.dropped)
            if pending.given_up:
                await gaps.upsert_gaps(connection, pending.given_up)
        await self._notify_edges(pending)

    async def on_dead_letter(self, message: Msg, error: Exception) -> None:
        """Notify the edge, so that the agent does not send the dead message again and again."""
        pending = PendingWrites()
        try:
            pending.add(message)
        except PoisonError:
            return  # it cannot be decoded, so it belongs to no batch
        reason = (str(error).splitlines() or [type(error).__name__])[0][:500]
        for edge_id, batches in pending.durable.items():
            refused = [
                BatchRefused(vps_id=vps_id, epoch=epoch, sequence=sequence, reason=reason)
                for (vps_id, epoch), sequences in batches.items()
                for sequence in sequences
            ]
            await self._notify(edge_id, DurableNotice(refused=refused))

    async def _notify_edges(self, pending: PendingWrites) -> None:
        for edge_id, batches in pending.durable.items():
            durable = [
                BatchesDurable(vps_id=vps_id, epoch=epoch, sequences=sequences)
                for (vps_id, epoch), sequences in batches.items()
            ]
            await self._notify(edge_id, DurableNotice(batches=durable))

    async def _notify(self, edge_id: str, notice: DurableNotice) -> None:
        try:
            await self._bus.publish(subjects.edge_durable(edge_id), notice)
        except TransientError as error:
            # The rows are committed. The agents resend the batches, which leads to a new notice.
            log.warning("durable_notice_not_sent", edge=edge_id, error=str(error))


def _uuid(vps_id: str) -> UUID:
    try:
        return UUID(vps_id)
    except ValueError as error:
        raise PoisonError(f"{vps_id} is not the id of a server.") from error


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


async def run(
    settings: WriterSettings, health: Health, *, timing: ConsumerTiming = DEFAULT_TIMING
) -> None:
    """Write until cancelled; messages being processed are committed first."""
    async with (
        connect_service(settings, health, settings.nats_writer_password) as connection,
        database.open_pool(settings, health, size=4) as pool,
    ):
        writer = Writer(connection, pool)
        await Consumer(
            connection,
            subjects.Stream.TELEMETRY,
            subjects.Durable.INGEST_WRITE_TELEMETRY,
            writer.write,
            batch=MESSAGES_PER_TRANSACTION,
            split=bundles.split,
            on_dead_letter=writer.on_dead_letter,
            timing=timing,
        ).run()
