"""What to do about agents whose clock is wrong.

The edge compares the agent's clock at sending with its own. The correction is
rounded to whole minutes, so that a batch that is sent twice gets the same times
and so the same rows.
"""

from flotilla.v1.docker_pb2 import DockerInfoBatch
from flotilla.v1.metrics_pb2 import GenericMetric, GenericMetricsBatch, PerformanceSnapshotBatch

Batch = PerformanceSnapshotBatch | DockerInfoBatch | GenericMetricsBatch

TOLERANCE_MS = 60_000  # a clock this far off is taken at its word
QUANTUM_MS = 60_000
MAX_AGE_MS = 31 * 86_400_000  # older than any agent keeps


def correction_ms(sent_at_unix_ms: int, received_at_unix_ms: int) -> int:
    """Milliseconds to add to the agent's times; 0 for a plausible clock."""
    skew = received_at_unix_ms - sent_at_unix_ms
    if abs(skew) <= TOLERANCE_MS:
        return 0
    return round(skew / QUANTUM_MS) * QUANTUM_MS


def correct(batch: Batch, received_at_unix_ms: int) -> bool:
    """Move a batch's times to the server's clock, in place; True when any moved.

    An item that is in the future, or older than any agent keeps, even so is
    given the time it was received.
    """
    shift = correction_ms(batch.header.sent_at_unix_ms, received_at_unix_ms)
    moved = False
    items = batch.metrics if isinstance(batch, GenericMetricsBatch) else batch.snapshots
    for item in items:
        time = item.time_unix_ms + shift
        age = received_at_unix_ms - time
        if not -TOLERANCE_MS <= age <= MAX_AGE_MS:
            time = received_at_unix_ms
        if time != item.time_unix_ms:
            item.time_unix_ms = time
            if not isinstance(item, GenericMetric):
                item.clock_corrected = True
            moved = True
    return moved
