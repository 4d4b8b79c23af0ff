"""Intake of a batch: validation, clock correction, publishing, acknowledgement."""

import random
import time

import structlog
from prometheus_client import Counter

from flotilla.v1.agent_pb2 import BatchAck
from flotilla.v1.metrics_pb2 import BatchHeader, PerformanceSnapshotBatch
from services.ingest.edge import validation
from services.ingest.edge.batching import BatchPublisher
from services.ingest.edge.cleaning import Batch, Flaw, LeftOut, clean
from services.ingest.edge.clock_correction import AgentClocks
from services.ingest.edge.errors import BatchError, IntakeError, Reason
from services.kit.bus import subjects
from services.kit.bus.connection import Bus
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)

KINDS = ("performance", "docker", "generic")
# Limits of the time that an agent waits before it sends a batch again. Between them, it waits for as
# long as publishing has failed so far. Batches with newer samples are still sent at once.
RETRY_AFTER_MIN, RETRY_AFTER_MAX = 5.0, 20.0  # seconds
LOG_INTERVAL = 10.0  # seconds between log lines about postponed batches; the counter has them all

BATCHES = Counter(
    "flotilla_edge_batches_total", "Batches received from agents", ["kind", "outcome"]
)
SNAPSHOTS = Counter("flotilla_edge_snapshots_total", "Items in accepted batches", ["kind"])
BYTES = Counter("flotilla_edge_batch_bytes_total", "Bytes of accepted batches", ["kind"])
LEFT_OUT = Counter(
    "flotilla_edge_left_out_total",
    "Fields and items that the edge removed from batches and handshakes",
    ["kind", "reason"],
)
CLOCK_CORRECTED = Counter(
    "flotilla_edge_clock_corrected_total", "Batches whose timestamps were corrected"
)


class KindCounters:
    """The counters of one kind of batch; a lookup of labels per batch costs more than counting."""

    def __init__(self, kind: str) -> None:
        self.refused = BATCHES.labels(kind, "refused")
        self.postponed = BATCHES.labels(kind, "postponed")
        self.accepted = BATCHES.labels(kind, "accepted")
        self.items = SNAPSHOTS.labels(kind)
        self.bytes = BYTES.labels(kind)


COUNTERS = {kind: KindCounters(kind) for kind in KINDS}


class BatchIntake:
    def __init__(self, connection: Bus, edge_id: str) -> None:
        self.publisher = BatchPublisher(connection, edge_id)
        self._bus = connection
        self._edge_id = edge_id
        self._clocks = AgentClocks()
        self._failing_since: float | None = None  # monotonic
        self._logged_at = -LOG_INTERVAL  # monotonic
        self._left_out_logged_at = -LOG_INTERVAL  # monotonic

    async def accept(self, vps_id: str, kind: str, batch: Batch, *, waited: float) -> BatchAck:
        """Validate and publish a batch; return the acknowledgement to send.

        Fields and items that cannot be stored are removed from the batch and counted.

        `waited` is the longest time, in seconds, that the batch may have waited in its stream.

        Raises:
            BatchError: the batch has no item that can be stored, or is too large.
            IntakeError: the batch belongs to another agent, or its header is malformed.
        """
        counters = COUNTERS[kind]
        header = batch.header
        ack = BatchAck(epoch=header.epoch, sequences=[header.sequence])
        try:
            self._bus.require()  # saves the validation of a batch that cannot be published now
            size = validation.check_batch(vps_id, batch)
            left_out = clean(batch)
            self._correct_clock(vps_id, batch, waited, left_out)
            self.record_left_out(vps_id, kind, left_out)
            if not validation.count_items(batch):
                raise BatchError(Reason.MALFORMED, "No item of the batch can be stored.")
            await self._publish(vps_id, kind, batch)
        except IntakeError:
            counters.refused.inc()
            raise
        except TransientError as error:
            counters.postponed.inc()
            self._log_postponed(vps_id, error)
            ack.outcome = BatchAck.OUTCOME_RETRY
            ack.retry_after_ms = self._retry_after_ms()
            return ack
        self._failing_since = None
        counters.accepted.inc()
        counters.items.inc(validation.count_items(batch))
        counters.bytes.inc(size)
        ack.outcome = BatchAck.OUTCOME_ACCEPTED
        return ack

    def record_left_out(self, vps_id: str, kind: str, left_out: LeftOut) -> None:
        """Count what was removed, and log at most one line per interval about it."""
        if not left_out:
            return
        for (_, flaw), count in left_out.items():
            LEFT_OUT.labels(kind, flaw).inc(count)
        now = time.monotonic()
        if now - self._left_out_logged_at >= LOG_INTERVAL:
            self._left_out_logged_at = now
            fields = {f"{field}: {flaw}": count for (field, flaw), count in left_out.items()}
            log.warning("items_left_out", vps_id=vps_id, kind=kind, items=fields)

    def _correct_clock(self, vps_id: str, batch: Batch, waited: float, left_out: LeftOut) -> None:
        items = validation.count_items(batch)
        received = time.time_ns() // 1_000_000
        clock = self._clocks.get(vps_id)
        if clock.correct(batch, received, round(1000 * waited)):
            CLOCK_CORRECTED.inc()
            if clock.offset_changed():
                off_by = received - batch.header.sent_at_unix_ms
                log.warning("clock_corrected", vps_id=vps_id, off_by_ms=off_by)
        if scattered := items - validation.count_items(batch):
            left_out["time_unix_ms", Flaw.TIME] += scattered

    def _log_postponed(self, vps_id: str, error: TransientError) -> None:
        """Log at most one line per interval, because a fleet retries thousands of batches a second."""
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            log.warning("batch_postponed", vps_id=vps_id, error=str(error))

    def _retry_after_ms(self) -> int:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        wait = min(max(now - self._failing_since, RETRY_AFTER_MIN), RETRY_AFTER_MAX)
        # Random, so that the agents of a fleet do not all retry at the same moment.
        return round(1000 * wait * random.uniform(0.5, 1.5))  # noqa: S311

    async def _publish(self, vps_id: str, kind: str, batch: Batch) -> None:
        if isinstance(batch, PerformanceSnapshotBatch):
            await self.publisher.store(batch)
            return
        header = batch.header
        await self._bus.store(
            subjects.docker(vps_id) if kind == "docker" else subjects.generic(vps_id),
            batch,
            msg_id=f"{vps_id}.{header.epoch}.{header.sequence}",
            edge_id=self._edge_id,
        )


def refusal(header: BatchHeader, error: IntakeError) -> BatchAck:
    """Return an acknowledgement that makes the agent drop the batch."""
    return BatchAck(
        epoch=header.epoch,
        sequences=[header.sequence],
        outcome=BatchAck.OUTCOME_REFUSED,
        reason=str(error),
    )
