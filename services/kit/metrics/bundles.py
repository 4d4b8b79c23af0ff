"""Bundles: messages with the performance batches of several servers."""

from dataclasses import replace

from nats.aio.msg import Msg

from flotilla.v1.metrics_pb2 import PerformanceBundle, PerformanceSnapshotBatch
from services.kit.bus import subjects
from services.kit.bus.connection import MSG_ID_HEADER, TYPE_HEADER, decode


def performance(message: Msg) -> list[tuple[str, PerformanceSnapshotBatch]]:
    """Return each batch of a performance message, with the server's id as the edge knows it.

    Raises:
        PoisonError: the message is neither a batch nor a bundle.
    """
    if subjects.is_bundle(message.subject):
        bundle = decode(message.data, PerformanceBundle)
        return [(batch.header.vps_id, batch) for batch in bundle.batches]
    batch = decode(message.data, PerformanceSnapshotBatch)
    return [(subjects.vps_of(message.subject), batch)]


def split(message: Msg) -> list[Msg]:
    """Return a bundle's batches as the messages that the edge would have published for each.

    A message that is not a bundle is returned as it is.

    Raises:
        PoisonError: the bundle cannot be read.
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
