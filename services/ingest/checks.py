"""What the edge takes from agents: sizes, names and numbers that can be kept."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from flotilla.v1.agent_pb2 import AgentHandshake
from flotilla.v1.docker_pb2 import DockerInfoBatch, DockerSnapshot
from flotilla.v1.metrics_pb2 import (
    BatchHeader,
    DropReport,
    GenericMetric,
    GenericMetricsBatch,
    PerformanceSnapshot,
    PerformanceSnapshotBatch,
)
from services.ingest.errors import IntakeError, Reason

MAX_BATCH_BYTES = 512 * 1024
MAX_BATCH_ITEMS = 1_000
MAX_PARTS = 1_024  # cores, mounts, interfaces … of one host
MAX_NAME_LENGTH = 512  # characters
MAX_TEXT_LENGTH = 4_096  # characters of a label's value or a path
MAX_LABELS = 20
MAX_LABELS_BYTES = 1_024  # of a series, all names and values: they are part of an index
MAX_DROPS = 8
CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
METRIC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:.]{0,199}")
MAX_FACTS_BYTES = 32 * 1024
MAX_INTEGER = (1 << 63) - 1  # the database's
MAX_SMALL_INTEGER = (1 << 31) - 1
LATEST_BOOT = 253_402_300_799  # seconds since the epoch; the last datetime knows

Batch = PerformanceSnapshotBatch | DockerInfoBatch | GenericMetricsBatch


def check_batch(vps_id: str, batch: Batch) -> int:
    """The batch's size in bytes.

    Raises:
        IntakeError: it cannot be kept.
    """
    _check_header(vps_id, batch.header)
    if not length(batch):
        raise IntakeError(Reason.MALFORMED, "the batch is empty")
    if length(batch) > MAX_BATCH_ITEMS:
        raise IntakeError(Reason.OVERSIZED, f"a batch has at most {MAX_BATCH_ITEMS} items")
    size = batch.ByteSize()
    if size > MAX_BATCH_BYTES:
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
    return size


def _check_header(vps_id: str, header: BatchHeader) -> None:
    if header.vps_id != vps_id:
        raise IntakeError(Reason.IDENTITY, "the batch names another server")
    if not (header.epoch.isalnum() and header.epoch.isascii() and len(header.epoch) <= 64):
        raise IntakeError(Reason.MALFORMED, "the batch has no usable epoch")
    if header.sequence == 0:
        raise IntakeError(Reason.MALFORMED, "the batch has no sequence")
    if header.drops:
        _check_drops(header.drops)


def _check_drops(drops: Sequence[DropReport]) -> None:
    if len(drops) > MAX_DROPS:
        raise IntakeError(Reason.OVERSIZED, f"a batch reports at most {MAX_DROPS} drops")
    for drop in drops:
        _check_value(drop.id)
        _check_value(drop.count)
        if not 0 <= drop.first_unix_ms <= drop.last_unix_ms <= LATEST_BOOT * 1000:
            raise IntakeError(Reason.MALFORMED, "the times of a drop are out of range")


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
    if field.type == field.TYPE_UINT32 or field.name == "uptime_seconds":
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
    if (
        sum(len(text.encode()) for pair in metric.labels.items() for text in pair)
        > MAX_LABELS_BYTES
    ):
        raise IntakeError(Reason.OVERSIZED, f"labels have at most {MAX_LABELS_BYTES} bytes")
    _check_finite((metric.value,))


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


def length(batch: Batch) -> int:
    return len(batch.metrics if isinstance(batch, GenericMetricsBatch) else batch.snapshots)
