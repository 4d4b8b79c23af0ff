"""Moves telemetry from the stream into the database."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from uuid import UUID

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter

from flotilla.v1.bus_pb2 import BatchesDurable
from flotilla.v1.metrics_pb2 import PerformanceSnapshotBatch
from services.ingest import rows, store
from services.ingest.settings import WriterSettings
from services.kit import bus, database, subjects
from services.kit.consumer import Consumer
from services.kit.errors import PoisonError, TransientError
from services.kit.health import Health

log = structlog.get_logger(__name__)

BATCH = 500  # messages a transaction

ROWS = Counter("flotilla_writer_rows_total", "Rows by what became of them", ["outcome"])


class Writer:
    def __init__(self, connection: bus.Bus, pool: database.Pool) -> None:
        self._bus = connection
        self._pool = pool

    async def write(self, messages: Sequence[Msg]) -> None:
        """One transaction for all of them, then tell their agents.

        Raises:
            TransientError: the database is away.
            PoisonError: a message can never be written.
        """
        batches = [_decode(message) for message in messages]
        all_rows = [row for vps, batch in batches for row in rows.performance_rows(vps, batch)]
        async with database.transaction(self._pool) as connection:
            new = await store.insert_performance(connection, all_rows)
        ROWS.labels("new").inc(new)
        ROWS.labels("known").inc(len(all_rows) - new)
        await self._tell_agents(batches)

    async def _tell_agents(self, batches: list[tuple[UUID, PerformanceSnapshotBatch]]) -> None:
        durable: dict[tuple[UUID, str], list[int]] = defaultdict(list)
        for vps, batch in batches:
            durable[vps, batch.header.epoch].append(batch.header.sequence)
        for (vps, epoch), sequences in durable.items():
            notice = BatchesDurable(epoch=epoch, sequences=sequences)
            try:
                await self._bus.publish(subjects.agent_durable(str(vps)), notice)
            except TransientError as error:
                # The rows stand; redelivery of the batch would tell again.
                log.warning("durable_not_told", vps_id=str(vps), error=str(error))


def _decode(message: Msg) -> tuple[UUID, PerformanceSnapshotBatch]:
    vps_id = subjects.vps_of(message.subject)
    if message.subject != subjects.performance(vps_id):
        raise PoisonError(f"nothing is known to do with {message.subject}")
    try:
        vps = UUID(vps_id)
    except ValueError as error:
        raise PoisonError(f"{vps_id} is not a server's id") from error
    return vps, bus.decode(message.data, PerformanceSnapshotBatch)


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
