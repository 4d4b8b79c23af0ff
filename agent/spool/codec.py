"""Items as the spool stores them and as the server receives them."""

import zlib
from collections.abc import Iterable, Sequence

from google.protobuf.message import DecodeError

from agent.base.errors import ItemDamagedError
from agent.spool.models import Item, Kind, LossReport, Measurement
from flotilla.v1.agent_pb2 import MessageToServer
from flotilla.v1.docker_pb2 import DockerInfoBatch
from flotilla.v1.metrics_pb2 import (
    BatchHeader,
    DropReport,
    GenericMetricsBatch,
    PerformanceSnapshotBatch,
)

Payload = PerformanceSnapshotBatch | DockerInfoBatch | GenericMetricsBatch
FRAMING = 4  # bytes, at most, that a batch adds to a measurement
COMPRESSION_LEVEL = 1
COUNT_MAX = (1 << 63) - 1
TIME_MAX = 253_402_300_799_000  # Unix milliseconds; the end of the year 9999


def size_in_message(measurements: Iterable[Measurement]) -> int:
    """Return the bytes that the measurements add to a batch, at most."""
    return sum(measurement.ByteSize() + FRAMING for measurement in measurements)


def pack(item: Item) -> bytes:
    """Return the content as the spool stores it: a compressed batch without a header."""
    if isinstance(item.content, bytes):
        return item.content
    payload = _payload(MessageToServer(), item.kind)
    _add(payload, item.content)
    return zlib.compress(payload.SerializeToString(), COMPRESSION_LEVEL)


def message(kind: Kind, items: Iterable[Item], header: BatchHeader) -> MessageToServer:
    """Return a batch of the items.

    Raises:
        ItemDamagedError: The stored content of an item is not valid.
    """
    message = MessageToServer()
    payload = _payload(message, kind)
    payload.header.CopyFrom(header)
    for item in items:
        if isinstance(item.content, bytes):
            _add_packed(payload, item.content)
        else:
            _add(payload, item.content)
    return message


def is_readable(item: Item) -> bool:
    try:
        message(item.kind, [item], BatchHeader())
    except ItemDamagedError:
        return False
    return True


def drop_report(report: LossReport) -> DropReport:
    """Return the report for the server, whose bounds hold even if the spool was damaged."""
    loss = report.loss
    first, last = (min(max(time, 0), TIME_MAX) for time in (loss.first, loss.last))
    return DropReport(
        id=report.id,
        reason=DropReport.Reason.Value(f"REASON_{loss.reason.name}"),
        kind=DropReport.Kind.Value(f"KIND_{loss.kind.name}"),
        count=min(max(loss.count, 0), COUNT_MAX),
        first_unix_ms=min(first, last),
        last_unix_ms=last,
    )


def _payload(message: MessageToServer, kind: Kind) -> Payload:
    match kind:
        case Kind.PERFORMANCE:
            return message.performance
        case Kind.DOCKER:
            return message.docker
        case Kind.GENERIC:
            return message.generic


def _add(payload: Payload, measurements: Sequence[Measurement]) -> None:
    parts = payload.metrics if isinstance(payload, GenericMetricsBatch) else payload.snapshots
    parts.extend(measurements)  # type: ignore[arg-type]  # the kind tells the type


def _add_packed(payload: Payload, content: bytes) -> None:
    try:
        # Merging appends the measurements of one batch to those of another.
        payload.MergeFromString(zlib.decompress(content))
    except (zlib.error, DecodeError) as error:
        raise ItemDamagedError(str(error)) from None
