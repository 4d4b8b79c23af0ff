"""What to do about agents whose clock is wrong.

The edge compares the agent's clock at sending with its own. What is added to an agent's times
stays the same while it fits, so that a batch that is sent twice gets the same times and so the
same rows.
"""

from collections import OrderedDict

from flotilla.v1.docker_pb2 import DockerInfoBatch
from flotilla.v1.metrics_pb2 import GenericMetric, GenericMetricsBatch, PerformanceSnapshotBatch
from services.ingest.errors import IntakeError, Reason

Batch = PerformanceSnapshotBatch | DockerInfoBatch | GenericMetricsBatch

TOLERANCE_MS = 60_000  # a clock this far off is taken at its word
QUANTUM_MS = 60_000
# What was found first, a correction or none, stands until the clock leaves it by this much more.
MARGIN_MS = 15_000
MAX_AGE_MS = 31 * 86_400_000  # older than any agent keeps
CLOCKS_LIMIT = 20_000  # agents an edge remembers, also between their streams
BATCHES_LIMIT = 64  # an agent has sixteen on their way


class Clock:
    """An agent's clock, by what its batches have shown."""

    def __init__(self) -> None:
        self._epoch = ""
        self._shift = 0
        self._told = 0
        # Of batches with implausible times, by sequence: when it first came, and the shift then.
        self._first: OrderedDict[int, tuple[int, int]] = OrderedDict()

    def correct(self, batch: Batch, received_at_unix_ms: int, waited_ms: int = 0) -> bool:
        """Move a batch's times to the server's clock, in place; True when any moved.

        What is older than any agent keeps even so is moved together, and so is what is in the
        future: the newest to when the batch was received. `waited_ms` is how long it may have
        lain behind others before: no fault of the agent's clock.

        Raises:
            IntakeError: they lie further apart than any agent keeps.
        """
        received, shift = self._seen(batch, received_at_unix_ms, waited_ms)
        items = batch.metrics if isinstance(batch, GenericMetricsBatch) else batch.snapshots
        oldest, newest = received - MAX_AGE_MS - shift, received + TOLERANCE_MS + MARGIN_MS - shift
        past = [item.time_unix_ms for item in items if item.time_unix_ms < oldest]
        future = [item.time_unix_ms for item in items if item.time_unix_ms > newest]
        if not (shift or past or future):
            return False
        from_past, from_future = _homewards(past, future, received)
        if past or future:
            self._remember(batch.header.sequence, received, shift)
        for item in items:
            time = item.time_unix_ms
            move = from_past if time < oldest else from_future if time > newest else shift
            if move:
                item.time_unix_ms = time + move
                if not isinstance(item, GenericMetric):
                    item.clock_corrected = True
        return True

    def is_news(self) -> bool:
        """Whether the correction is another than when this was last asked."""
        before, self._told = self._told, self._shift
        return before != self._shift

    def _seen(self, batch: Batch, received: int, waited: int) -> tuple[int, int]:
        """When the batch counts as received, and the milliseconds to add to the agent's times."""
        header = batch.header
        if header.epoch != self._epoch:
            self._epoch, self._shift = header.epoch, 0
            self._first.clear()
        elif header.sequence in self._first:
            return self._first[header.sequence]
        skew = received - header.sent_at_unix_ms
        if skew > self._shift:
            skew = max(skew - waited, self._shift)
        fits = QUANTUM_MS // 2 if self._shift else TOLERANCE_MS
        if abs(skew - self._shift) > fits + MARGIN_MS:
            plausible = abs(skew) <= TOLERANCE_MS
            self._shift = 0 if plausible else round(skew / QUANTUM_MS) * QUANTUM_MS
        return received, self._shift

    def _remember(self, sequence: int, received: int, shift: int) -> None:
        self._first[sequence] = received, shift
        if len(self._first) > BATCHES_LIMIT:
            self._first.popitem(last=False)


def _homewards(past: list[int], future: list[int], received: int) -> tuple[int, int]:
    """What to add to the times of each so that none is in the future and none like another.

    Raises: IntakeError.
    """
    end, moves = received, []
    for times in (future, past):
        if not times:
            moves.append(0)
            continue
        moves.append(end - max(times))
        end = min(times) + moves[-1] - 1
    if received - end > MAX_AGE_MS:
        raise IntakeError(Reason.MALFORMED, "times lie further apart than an agent keeps")
    return moves[1], moves[0]


class Clocks:
    """Those of the agents that spoke last."""

    def __init__(self) -> None:
        self._clocks: OrderedDict[str, Clock] = OrderedDict()

    def of(self, vps_id: str) -> Clock:
        clock = self._clocks.get(vps_id)
        if clock is None:
            clock = self._clocks[vps_id] = Clock()
            if len(self._clocks) > CLOCKS_LIMIT:
                self._clocks.popitem(last=False)
        self._clocks.move_to_end(vps_id)
        return clock
