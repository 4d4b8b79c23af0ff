"""From a received batch to a stored message: checks, clock, publish, outcome."""

import random
import time

import structlog
from prometheus_client import Counter

from flotilla.v1.agent_pb2 import BatchAck
from flotilla.v1.metrics_pb2 import BatchHeader
from services.ingest import checks, clock
from services.ingest.errors import IntakeError
from services.kit import subjects
from services.kit.bus import Bus
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)

RETRY_AFTER_MS = 5_000

BATCHES = Counter("flotilla_edge_batches_total", "Batches from agents", ["kind", "outcome"])
SNAPSHOTS = Counter("flotilla_edge_snapshots_total", "Items of accepted batches", ["kind"])
BYTES = Counter("flotilla_edge_batch_bytes_total", "Bytes of accepted batches", ["kind"])
CLOCK_CORRECTED = Counter("flotilla_edge_clock_corrected_total", "Batches with a wrong clock")


async def take(bus: Bus, edge_id: str, vps_id: str, kind: str, batch: checks.Batch) -> BatchAck:
    """Check a batch and store it; the acknowledgement to send.

    Raises:
        IntakeError: it is malformed, too large, or another agent's.
    """
    try:
        checks.check_batch(vps_id, batch)
    except IntakeError:
        BATCHES.labels(kind, "refused").inc()
        raise
    header = batch.header
    received = time.time_ns() // 1_000_000
    if clock.correct(batch, received):
        CLOCK_CORRECTED.inc()
        log.warning("clock_corrected", vps_id=vps_id, off_by_ms=received - header.sent_at_unix_ms)
    ack = BatchAck(epoch=header.epoch, sequences=[header.sequence])
    subject = getattr(subjects, kind)(vps_id)
    try:
        await bus.store(
            subject,
            batch,
            msg_id=f"{vps_id}.{header.epoch}.{header.sequence}",
            edge_id=edge_id,
        )
    except TransientError as error:
        BATCHES.labels(kind, "postponed").inc()
        log.warning("batch_postponed", vps_id=vps_id, error=str(error))
        ack.outcome = BatchAck.OUTCOME_RETRY
        # Spread out, so that a fleet does not come back as one.
        ack.retry_after_ms = random.randint(RETRY_AFTER_MS // 2, RETRY_AFTER_MS * 3 // 2)  # noqa: S311
        return ack
    BATCHES.labels(kind, "accepted").inc()
    SNAPSHOTS.labels(kind).inc(checks.length(batch))
    BYTES.labels(kind).inc(batch.ByteSize())
    ack.outcome = BatchAck.OUTCOME_ACCEPTED
    return ack


def refusal(header: BatchHeader, error: IntakeError) -> BatchAck:
    return BatchAck(
        epoch=header.epoch,
        sequences=[header.sequence],
        outcome=BatchAck.OUTCOME_REFUSED,
        reason=str(error),
    )
