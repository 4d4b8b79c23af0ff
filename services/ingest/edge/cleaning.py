"""Removal of the fields and items of a batch that the database cannot store.

One bad number never removes its neighbours: the smallest possible part is left out and counted. An
optional field is cleared. For a field without presence, a 0 would be read as a measurement, so the
whole item is removed: a disk, an interface, a label.
"""

import math
import re
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from flotilla.v1.docker_pb2 import DockerContainerInfo, DockerInfoBatch, DockerSnapshot
from flotilla.v1.metrics_pb2 import (
    DiskUsage,
    DropReport,
    GenericMetric,
    GenericMetricsBatch,
    PerformanceSnapshot,
    PerformanceSnapshotBatch,
    ProcessStats,
)

MAX_PARTS = 1_024  # cores, mounts, interfaces … per server
MAX_PROCESSES = 20  # that use the most CPU time or memory
MAX_NAME_LENGTH = 512  # characters
MAX_TEXT_LENGTH = 4_096  # characters of a container's label value or path
MAX_LABELS = 20
# Names and values of a series' labels together; they are part of an index.
MAX_LABELS_BYTES = 1_024
MAX_DROPS = 8
CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
METRIC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:.]{0,199}")
MAX_INTEGER = (1 << 63) - 1  # of the database's bigint
MAX_SMALL_INTEGER = (1 << 31) - 1  # of the database's integer
LATEST_TIME = 253_402_300_799  # seconds since the epoch; the largest that datetime can represent

Batch = PerformanceSnapshotBatch | DockerInfoBatch | GenericMetricsBatch


class Flaw(StrEnum):
    """Reasons for leaving a part of a batch out: label of a metric."""

    NOT_FINITE = "not-finite"
    OUT_OF_RANGE = "out-of-range"
    INCONSISTENT = "inconsistent"
    """A part that is larger than its whole."""
    TEXT = "text"
    """A text that is too long or contains a NUL character."""
    NAME = "name"
    """An id or a name that does not follow its format."""
    TOO_MANY = "too-many"
    TIME = "time"


LeftOut = Counter[tuple[str, Flaw]]
"""Numbers of parts that were left out, by the name of their field and the reason."""


def clean(batch: Batch) -> LeftOut:
    """Remove what cannot be stored from the batch, in place; return what was removed."""
    left_out: LeftOut = Counter()
    if batch.header.drops:
        _keep(batch.header.drops, "drops", _drop_report_flaw, left_out, limit=MAX_DROPS)
    if isinstance(batch, PerformanceSnapshotBatch):
        for snapshot in batch.snapshots:
            _clean_snapshot(snapshot, left_out)
    elif isinstance(batch, DockerInfoBatch):
        for listing in batch.snapshots:
            _clean_listing(listing, left_out)
    else:
        _keep(batch.metrics, "metrics", _metric_flaw, left_out)
    return left_out


def text_flaw(text: str, limit: int = MAX_NAME_LENGTH) -> Flaw | None:
    return Flaw.TEXT if len(text) > limit or "\0" in text else None


def _drop_report_flaw(drop: DropReport) -> Flaw | None:
    if max(drop.id, drop.count) > MAX_INTEGER:
        return Flaw.OUT_OF_RANGE
    if not 0 <= drop.first_unix_ms <= drop.last_unix_ms <= LATEST_TIME * 1000:
        return Flaw.TIME
    return None


def _clean_snapshot(snapshot: PerformanceSnapshot, left_out: LeftOut) -> None:
    for field, value in snapshot.ListFields():
        kind = type(value)
        if kind is float:
            if not 0.0 <= value < math.inf:
                _clear(snapshot, field, _float_flaw(value), left_out)
        elif kind is int:
            # Few numbers are large, and access to the descriptor is slow.
            if value > MAX_SMALL_INTEGER and _is_too_large(field, value):
                _clear(snapshot, field, Flaw.OUT_OF_RANGE, left_out)
        elif kind is not bool:
            _clean_parts(field, value, left_out)
    for name in ("memory", "swap"):
        used, total = f"{name}_used_bytes", f"{name}_total_bytes"
        if getattr(snapshot, used) > getattr(snapshot, total) and snapshot.HasField(total):  # type: ignore[arg-type]  # one of four names
            snapshot.ClearField(used)  # type: ignore[arg-type]
            left_out[used, Flaw.INCONSISTENT] += 1


def _is_too_large(field: FieldDescriptor, value: int) -> bool:
    is_small = field.type == field.TYPE_UINT32 or field.name == "uptime_seconds"
    return is_small or value > MAX_INTEGER


def _clean_parts(field: FieldDescriptor, parts: Any, left_out: LeftOut) -> None:
    if field.message_type is not None:
        flaw = _PART_FLAWS.get(field.name, _PartFlaw)(left_out)
        limit = MAX_PROCESSES if field.name == "top_processes" else MAX_PARTS
        _keep(parts, field.name, flaw, left_out, limit=limit)
        return
    # The number of a core is its position in the list, so one bad value removes the whole list.
    bad = next((value for value in parts if not 0.0 <= value <= MAX_SMALL_INTEGER), None)
    if bad is not None:
        del parts[:]
        left_out[field.name, _float_flaw(bad)] += 1
    elif len(parts) > MAX_PARTS:
        left_out[field.name, Flaw.TOO_MANY] += len(parts) - MAX_PARTS
        del parts[MAX_PARTS:]


class _PartFlaw:
    """Checks a disk, interface, device, sensor, port or mount; clears its bad optional fields."""

    def __init__(self, left_out: LeftOut, text_limit: int = MAX_NAME_LENGTH) -> None:
        self._left_out = left_out
        self._text_limit = text_limit

    def __call__(self, part: Any) -> Flaw | None:
        for field, value in part.ListFields():
            flaw = _value_flaw(value, self._text_limit)
            if flaw is None:
                continue
            if not field.has_presence:
                return flaw
            _clear(part, field, flaw, self._left_out)
        return None


class _DiskFlaw(_PartFlaw):
    """Checks the disks of one snapshot, whose sums have columns of their own."""

    def __init__(self, left_out: LeftOut) -> None:
        super().__init__(left_out)
        self._total = 0

    def __call__(self, part: DiskUsage) -> Flaw | None:
        flaw = super().__call__(part)
        if flaw is not None:
            return flaw
        if part.used_bytes > part.total_bytes:
            return Flaw.INCONSISTENT
        if self._total + part.total_bytes > MAX_INTEGER:
            return Flaw.OUT_OF_RANGE
        self._total += part.total_bytes
        return None


class _ProcessFlaw(_PartFlaw):
    """Checks one of the processes that use the most CPU time or memory."""

    def __call__(self, part: ProcessStats) -> Flaw | None:
        flaw = super().__call__(part)
        if flaw is not None:
            return flaw
        if not 0 < part.pid <= MAX_SMALL_INTEGER:
            return Flaw.OUT_OF_RANGE
        if part.cpu_usage_percent < 0:
            part.ClearField("cpu_usage_percent")
            self._left_out["cpu_usage_percent", Flaw.OUT_OF_RANGE] += 1
        return None


_PART_FLAWS: dict[str, type[_PartFlaw]] = {"disks": _DiskFlaw, "top_processes": _ProcessFlaw}


def _value_flaw(value: object, text_limit: int = MAX_NAME_LENGTH) -> Flaw | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else Flaw.NOT_FINITE
    if isinstance(value, str):
        return text_flaw(value, text_limit)
    if isinstance(value, int) and value > MAX_INTEGER:
        return Flaw.OUT_OF_RANGE
    return None


def _float_flaw(value: float) -> Flaw:
    return Flaw.OUT_OF_RANGE if math.isfinite(value) else Flaw.NOT_FINITE


def _clear(message: Any, field: FieldDescriptor, flaw: Flaw, left_out: LeftOut) -> None:
    message.ClearField(field.name)
    left_out[field.name, flaw] += 1


def _keep(
    parts: Any,
    name: str,
    flaw_of: Callable[[Any], Flaw | None],
    left_out: LeftOut,
    *,
    limit: int | None = None,
) -> None:
    """Remove the entries of a repeated field that have a flaw, and those above the limit."""
    if limit is not None and len(parts) > limit:
        left_out[name, Flaw.TOO_MANY] += len(parts) - limit
        del parts[limit:]
    flaws = [flaw_of(part) for part in parts]
    if not any(flaws):
        return
    for position in range(len(parts) - 1, -1, -1):
        if flaw := flaws[position]:
            del parts[position]
            left_out[name, flaw] += 1


def _clean_listing(listing: DockerSnapshot, left_out: LeftOut) -> None:
    _keep(listing.containers, "containers", _container_flaw, left_out, limit=MAX_PARTS)
    for container in listing.containers:
        _clean_container(container, left_out)


def _container_flaw(container: DockerContainerInfo) -> Flaw | None:
    return None if CONTAINER_ID.fullmatch(container.id) else Flaw.NAME


def _clean_container(container: DockerContainerInfo, left_out: LeftOut) -> None:
    for field, value in container.ListFields():
        if field.is_repeated:
            continue
        flaw = _value_flaw(value)
        if isinstance(value, float) and not 0.0 <= value < math.inf:
            flaw = _float_flaw(value)
        if flaw is not None:
            _clear(container, field, flaw, left_out)
    if not 0 <= container.created_at_unix_ms <= LATEST_TIME * 1000:
        container.ClearField("created_at_unix_ms")
        left_out["created_at_unix_ms", Flaw.TIME] += 1
    _keep(container.names, "names", text_flaw, left_out)
    for name, value in list(container.labels.items()):
        if flaw := text_flaw(name) or text_flaw(value, MAX_TEXT_LENGTH):
            del container.labels[name]
            left_out["labels", flaw] += 1
    part_flaw = _PartFlaw(left_out, MAX_TEXT_LENGTH)
    _keep(container.ports, "ports", part_flaw, left_out)
    _keep(container.mounts, "mounts", part_flaw, left_out)


def _metric_flaw(metric: GenericMetric) -> Flaw | None:
    if not math.isfinite(metric.value):
        return Flaw.NOT_FINITE
    if not METRIC_NAME.fullmatch(metric.name):
        return Flaw.NAME
    # Without one of its labels, a point would belong to another series.
    if len(metric.labels) > MAX_LABELS:
        return Flaw.TOO_MANY
    texts = [text for pair in metric.labels.items() for text in pair]
    if any(map(text_flaw, texts)) or sum(len(text.encode()) for text in texts) > MAX_LABELS_BYTES:
        return Flaw.TEXT
    return None
