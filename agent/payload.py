"""Items as they are in the spool, and as the server is sent them."""

import zlib
from collections.abc import Iterable

from google.protobuf.message import DecodeError

from agent.errors import ItemDamagedError
from agent.items import Item, Kind
from flotilla.v1.agent_pb2 import MessageToServer
from flotilla.v1.docker_pb2 import DockerInfoBatch
from flotilla.v1.metrics_pb2 import BatchHeader, GenericMetricsBatch, PerformanceSnapshotBatch

Payload = PerformanceSnapshotBatch | DockerInfoBatch | GenericMetricsBatch
PAYLOADS: dict[Kind, type[Payload]] = {
    Kind.PERFORMANCE: PerformanceSnapshotBatch,
    Kind.DOCKER: DockerInfoBatch,
    Kind.GENERIC: GenericMetricsBatch,
}


def packed(payload: Payload) -> tuple[int, bytes]:
    """Its size, and what is kept of it."""
    content = payload.SerializeToString()
    return len(content), zlib.compress(content, 1)


def message(kind: Kind, items: Iterable[Item], header: BatchHeader) -> MessageToServer:
    """Raises: ItemDamagedError: the disk did not give what it was given."""
    payload = _unpacked(kind, items)
    payload.header.CopyFrom(header)
    match payload:
        case PerformanceSnapshotBatch():
            return MessageToServer(performance=payload)
        case DockerInfoBatch():
            return MessageToServer(docker=payload)
        case GenericMetricsBatch():
            return MessageToServer(generic=payload)


def is_whole(item: Item) -> bool:
    try:
        _unpacked(item.kind, [item])
    except ItemDamagedError:
        return False
    return True


def _unpacked(kind: Kind, items: Iterable[Item]) -> Payload:
    try:
        # Messages of one type laid end to end are one message with the parts of all.
        content = b"".join(zlib.decompress(item.content) for item in items)
        return PAYLOADS[kind].FromString(content)
    except (zlib.error, DecodeError) as error:
        raise ItemDamagedError(str(error)) from None
