"""From a received batch to a stored message: checks, clock, publish, outcome."""

import random
import time

import structlog
from prometheus_client import Counter

from flotilla.v1.agent_pb2 import BatchAck
from flotilla.v1.metrics_pb2 import BatchHeader, PerformanceSnapshotBatch
from services.ingest import checks
from services.ingest.clock import Clocks
from services.ingest.errors import IntakeError
from services.ingest.gathering import Gathering
from services.kit import subjects
from services.kit.bus import Bus
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)

KINDS = ("performance", "docker", "generic")
# How long agents wait before they come again: as long as the stream has refused by then, within
# these. Samples that are new meanwhile are tried at once.
RETRY_AFTER_MIN, RETRY_AFTER_MAX = 5.0, 20.0  # seconds
SAY_EVERY = 10.0  # seconds between lines about refusals, which a counter counts

BATCHES = Counter("flotilla_edge_batches_total", "Batches from agents", ["kind", "outcome"])
SNAPSHOTS = Counter("flotilla_edge_snapshots_total", "Items of accepted batches", ["kind"])
BYTES = Counter("flotilla_edge_batch_bytes_total", "Bytes of accepted batches", ["kind"])
CLOCK_CORRECTED = Counter("flotilla_edge_clock_corrected_total", "Batches with a wrong clock")


class Counts:
    """A kind's counters; to look their labels up for each batch takes longer than to count."""

    def __init__(self, kind: str) -> None:
        self.refused = BATCHES.labels(kind, "refused")
        self.postponed = BATCHES.labels(kind, "postponed")
        self.accepted = BATCHES.labels(kind, "accepted")
        self.items = SNAPSHOTS.labels(kind)
        self.bytes = BYTES.labels(kind)


COUNTS = {kind: Counts(kind) for kind in KINDS}


class Intake:
    def __init__(self, connection: Bus, edge_id: str) -> None:
        self.gathering = Gathering(connection, edge_id)
        self._bus = connection
        self._edge_id = edge_id
        self._clocks = Clocks()
        self._refusing_since: float | None = None  # monotonic
        self._said_at = -SAY_EVERY  # monotonic

    async def take(self, vps_id: str, kind: str, batch: checks.Batch, *, waited: float) -> BatchAck:
        """Check a batch and store it; the acknowledgement to send.

        `waited` is for how many seconds it may have lain behind others of its stream.

        Raises:
            IntakeError: it is malformed, too large, or another agent's.
        """
        counts = COUNTS[kind]
        header = batch.header
        ack = BatchAck(epoch=header.epoch, sequences=[header.sequence])
        try:
            self._bus.require()  # before the work of checking what cannot be stored now
            size = checks.check_batch(vps_id, batch)
            self._correct(vps_id, batch, waited)
            await self._store(vps_id, kind, batch)
        except IntakeError:
            counts.refused.inc()
            raise
        except TransientError as error:
            counts.postponed.inc()
            self._say_postponed(vps_id, error)
            ack.outcome = BatchAck.OUTCOME_RETRY
            ack.retry_after_ms = self._retry_after_ms()
            return ack
        self._refusing_since = None
        counts.accepted.inc()
        counts.items.inc(checks.length(batch))
        counts.bytes.inc(size)
        ack.outcome = BatchAck.OUTCOME_ACCEPTED
        return ack

    def _correct(self, vps_id: str, batch: checks.Batch, waited: float) -> None:
        received = time.time_ns() // 1_000_000
        clock = self._clocks.of(vps_id)
        if clock.correct(batch, received, round(1000 * waited)):
            CLOCK_CORRECTED.inc()
            if clock.is_news():
                off_by = received - batch.header.sent_at_unix_ms
                log.warning("clock_corrected", vps_id=vps_id, off_by_ms=off_by)

    def _say_postponed(self, vps_id: str, error: TransientError) -> None:
        """Once in a while: a fleet that is refused is thousands of batches a second."""
        now = time.monotonic()
        if now - self._said_at >= SAY_EVERY:
            self._said_at = now
            log.warning("batch_postponed", vps_id=vps_id, error=str(error))

    def _retry_after_ms(self) -> int:
        now = time.monotonic()
        if self._refusing_since is None:
            self._refusing_since = now
        wait = min(max(now - self._refusing_since, RETRY_AFTER_MIN), RETRY_AFTER_MAX)
        # Spread out, so that a fleet does not come back as one.
        return round(1000 * wait * random.uniform(0.5, 1.5))  # noqa: S311

    async def _store(self, vps_id: str, kind: str, batch: checks.Batch) -> None:
        if isinstance(batch, PerformanceSnapshotBatch):
            await self.gathering.store(batch)
            return
        header = batch.header
        await self._bus.store(
            subjects.docker(vps_id) if kind == "docker" else subjects.generic(vps_id),
            batch,
            msg_id=f"{vps_id}.{header.epoch}.{header.sequence}",
            edge_id=self._edge_id,
        )


def refusal(header: BatchHeader, error: IntakeError) -> BatchAck:
    return BatchAck(
        epoch=header.epoch,
        sequences=[header.sequence],
        outcome=BatchAck.OUTCOME_REFUSED,
        reason=str(error),
    )
