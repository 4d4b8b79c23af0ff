"""From a received batch to a stored message: checks, clock, publish, outcome."""

import math
import random
import re
import time
from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from google.protobuf.descriptor import FieldDescriptor
from prometheus_client import Counter

from flotilla.v1.agent_pb2 import AgentHandshake, BatchAck
from flotilla.v1.docker_pb2 import DockerInfoBatch, DockerSnapshot
from flotilla.v1.metrics_pb2 import (
    BatchHeader,
    GenericMetric,
    GenericMetricsBatch,
    PerformanceSnapshot,
    PerformanceSnapshotBatch,
)
from services.ingest import clock
from services.ingest.errors import IntakeError, Reason
from services.kit import subjects
from services.kit.bus import Bus
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)

MAX_BATCH_BYTES = 512 * 1024
MAX_BATCH_ITEMS = 1_000
MAX_PARTS = 1_024  # cores, mounts, interfaces … of one host
MAX_NAME_LENGTH = 512  # characters
MAX_TEXT_LENGTH = 4_096  # characters of a label's value or a path
MAX_LABELS = 20
CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
METRIC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:.]{0,199}")
MAX_FACTS_BYTES = 32 * 1024
MAX_INTEGER = (1 << 63) - 1  # the database's
MAX_SMALL_INTEGER = (1 << 31) - 1
LATEST_BOOT = 253_402_300_799  # seconds since the epoch; the last datetime knows
RETRY_AFTER_MS = 5_000

BATCHES = Counter("flotilla_edge_batches_total", "Batches from agents", ["kind", "outcome"])
SNAPSHOTS = Counter("flotilla_edge_snapshots_total", "Items of accepted batches", ["kind"])
BYTES = Counter("flotilla_edge_batch_bytes_total", "Bytes of accepted batches", ["kind"])
CLOCK_CORRECTED = Counter("flotilla_edge_clock_corrected_total", "Batches with a wrong clock")

Batch = PerformanceSnapshotBatch | DockerInfoBatch | GenericMetricsBatch


async def take(bus: Bus, edge_id: str, vps_id: str, kind: str, batch: Batch) -> BatchAck:
    """Check a batch and store it; the acknowledgement to send.

    Raises:
        IntakeError: it is malformed, too large, or another agent's.
    """
    try:
        _check(vps_id, batch)
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
    SNAPSHOTS.labels(kind).inc(_length(batch))
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


def check_handshake(handshake: AgentHandshake) -> None:
    """Raises: IntakeError: what the agent tells of its host cannot be kept."""
    if handshake.ByteSize() > MAX_FACTS_BYTES:
        raise IntakeError(Reason.OVERSIZED, f"a handshake has at most {MAX_FACTS_BYTES} bytes")
    if not 0 <= handshake.facts.boot_time_unix_s <= LATEST_BOOT:
        raise IntakeError(Reason.MALFORMED, "the boot time is out of range")
    for part in (handshake.facts, handshake.powers):
        for field, value in part.ListFields():
            for item in value if field.is_repeated else (value,):
                _check_value(item)


def _length(batch: Batch) -> int:
    return len(batch.metrics if isinstance(batch, GenericMetricsBatch) else batch.snapshots)


def _check(vps_id: str, batch: Batch) -> None:
    header = batch.header
    if header.vps_id != vps_id:
        raise IntakeError(Reason.IDENTITY, "the batch names another server")
    if not (header.epoch.isalnum() and header.epoch.isascii() and len(header.epoch) <= 64):
        raise IntakeError(Reason.MALFORMED, "the batch has no usable epoch")
    if header.sequence == 0:
        raise IntakeError(Reason.MALFORMED, "the batch has no sequence")
    if not _length(batch):
        raise IntakeError(Reason.MALFORMED, "the batch is empty")
    if _length(batch) > MAX_BATCH_ITEMS:
        raise IntakeError(Reason.OVERSIZED, f"a batch has at most {MAX_BATCH_ITEMS} items")
    if batch.ByteSize() > MAX_BATCH_BYTES:
        raise IntakeError(Reason.OVERSIZED, f"a batch has at most {MAX_BATCH_BYTES} bytes")
    if isinstance(batch, PerformanceSnapshotBatch):
        for snapshot in batch.snapshots:
            _check_snapshot(snapshot)
    elif isinstance(batch, DockerInfoBatch):
        for listing in batch.snapshots:
            _check_listing(listing)
    else:
        for metric in batch.metrics:
            _check_metric(metric)


def _check_snapshot(snapshot: PerformanceSnapshot) -> None:
    for field, value in snapshot.ListFields():
        kind = type(value)
        if kind is float:
            _check_finite((value,))
        elif kind is int:
            # Descriptors are slow to ask, and few numbers are large.
            if value > MAX_SMALL_INTEGER:
                _check_large(field, value)
        elif kind is not bool:
            _check_parts(field, value)
    # The sums go into columns of their own.
    _check_value(sum(disk.total_bytes for disk in snapshot.disks))
    _check_value(sum(disk.used_bytes for disk in snapshot.disks))


def _check_large(field: FieldDescriptor, value: int) -> None:
    if field.type == field.TYPE_UINT32:
        raise IntakeError(Reason.MALFORMED, f"{field.name} is out of range")
    _check_value(value)


def _check_parts(field: FieldDescriptor, parts: Sequence[Any]) -> None:
    if len(parts) > MAX_PARTS:
        raise IntakeError(Reason.OVERSIZED, f"{field.name} has over {MAX_PARTS} parts")
    if field.type == field.TYPE_FLOAT:
        _check_finite(parts)
        return
    for part in parts:
        for _, value in part.ListFields():
            _check_value(value)


def _check_value(value: object) -> None:
    if isinstance(value, float):
        _check_finite((value,))
    elif isinstance(value, str):
        if len(value) > MAX_NAME_LENGTH or "\0" in value:
            raise IntakeError(Reason.MALFORMED, "a name is too long or has a NUL")
    elif isinstance(value, int) and value > MAX_INTEGER:
        raise IntakeError(Reason.MALFORMED, "a number is out of range")


def _check_finite(numbers: Iterable[float]) -> None:
    if not all(map(math.isfinite, numbers)):
        raise IntakeError(Reason.MALFORMED, "a number is not finite")


def _check_listing(snapshot: DockerSnapshot) -> None:
    if len(snapshot.containers) > MAX_PARTS:
        raise IntakeError(Reason.OVERSIZED, f"a host has at most {MAX_PARTS} containers")
    for container in snapshot.containers:
        for field, value in container.ListFields():
            if not field.is_repeated:
                _check_value(value)
        if not CONTAINER_ID.fullmatch(container.id):
            raise IntakeError(Reason.MALFORMED, "a container's id is 64 hexadecimal digits")
        for name, value in container.labels.items():
            _check_value(name)
            _check_text(value)
        for text in container.names:
            _check_value(text)
        for part in (*container.ports, *container.mounts):
            for _, value in part.ListFields():
                _check_text(value) if isinstance(value, str) else _check_value(value)


def _check_text(text: str) -> None:
    if len(text) > MAX_TEXT_LENGTH or "\0" in text:
        raise IntakeError(Reason.MALFORMED, "a label or path is too long or has a NUL")


def _check_metric(metric: GenericMetric) -> None:
    if not METRIC_NAME.fullmatch(metric.name):
        raise IntakeError(Reason.MALFORMED, "a series is named by letters, digits, _, : and .")
    if len(metric.labels) > MAX_LABELS:
        raise IntakeError(Reason.OVERSIZED, f"a series has at most {MAX_LABELS} labels")
    for name, value in metric.labels.items():
        _check_value(name)
        _check_value(value)
    _check_finite((metric.value,))
