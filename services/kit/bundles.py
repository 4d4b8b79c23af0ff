"""Batches of several servers that one message holds, and the messages they stand for."""

from dataclasses import replace

from nats.aio.msg import Msg

from flotilla.v1.metrics_pb2 import PerformanceBundle, PerformanceSnapshotBatch
from services.kit import subjects
from services.kit.bus import MSG_ID_HEADER, TYPE_HEADER, decode


def performance(message: Msg) -> list[tuple[str, PerformanceSnapshotBatch]]:
    """Each batch of a performance message, with the server's id as the edge knows it.

    Raises:
        PoisonError: it is none.
    """
    if subjects.is_bundle(message.subject):
        bundle = decode(message.data, PerformanceBundle)
        return [(batch.header.vps_id, batch) for batch in bundle.batches]
    batch = decode(message.data, PerformanceSnapshotBatch)
    return [(subjects.vps_of(message.subject), batch)]


def unbundled(message: Msg) -> list[Msg]:
    """What the edge would have published of each batch alone; a message that is no bundle, itself.

    Raises:
        PoisonError: a bundle cannot be read.
    """
    if not subjects.is_bundle(message.subject):
        return [message]
    kept = {name: value for name, value in (message.headers or {}).items() if name != MSG_ID_HEADER}
    headers = {**kept, TYPE_HEADER: PerformanceSnapshotBatch.DESCRIPTOR.full_name}
    return [
        replace(
            message,
            subject=subjects.performance(vps_id),
            data=batch.SerializeToString(),
            headers=headers,
        )
        for vps_id, batch in performance(message)
    ]
