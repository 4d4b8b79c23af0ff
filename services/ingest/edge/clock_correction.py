"""Correction of timestamps from agents whose clock is wrong.

The edge compares the agent's clock at sending time with its own. The offset it adds to an agent's
timestamps does not change while it fits, so a batch that is sent twice gets the same timestamps
and therefore the same rows.
"""

from collections import OrderedDict
from typing import Any, NamedTuple

from flotilla.v1.docker_pb2 import DockerInfoBatch
from flotilla.v1.metrics_pb2 import (
    BatchHeader,
    GenericMetric,
    GenericMetricsBatch,
    PerformanceSnapshotBatch,
)

Batch = PerformanceSnapshotBatch | DockerInfoBatch | GenericMetricsBatch

TOLERANCE_MS = 60_000  # a clock that is off by at most this much is not corrected
QUANTUM_MS = 60_000  # offsets are multiples of this
# The current offset, which may be 0, stays until the clock differs by this much more.
MARGIN_MS = 15_000
MAX_AGE_MS = 31 * 86_400_000  # more than any agent keeps
CLOCKS_LIMIT = 20_000  # agents whose clock an edge remembers, also between their streams
BATCHES_LIMIT = 64  # batches remembered per agent; an agent has at most sixteen in flight


class _Delivery(NamedTuple):
    """Receive time of a batch's first delivery, and the offset that applied to it."""

    received_at_unix_ms: int
    offset_ms: int


class AgentClock:
    """One agent's clock, as far as its batches have shown it."""

    def __init__(self) -> None:
        self._epoch = ""
        self._offset_ms = 0  # added to the agent's timestamps
        self._reported_offset_ms = 0
        # Batches with out-of-range timestamps, by sequence. If such a batch is sent again, the
        # values of its first delivery are used again.
        self._first_deliveries: OrderedDict[int, _Delivery] = OrderedDict()

    def correct(self, batch: Batch, received_at_unix_ms: int, waited_ms: int = 0) -> bool:
        """Move a batch's timestamps to the server's clock, in place.

        The current offset is added to every timestamp. Timestamps that would still be older than
        any agent keeps, or in the future, are moved as two groups instead, see `_group_offsets`.

        `waited_ms` is how long the batch may have waited behind other batches of its stream.
        This delay is not counted as an error of the agent's clock.

        Items that are further apart than an agent keeps are removed from the batch.

        Return True if any timestamp changed.
        """
        received, offset = self._delivery(batch.header, received_at_unix_ms, waited_ms)
        # Any: the type checker knows no common type of the three kinds of items.
        items: Any = batch.metrics if isinstance(batch, GenericMetricsBatch) else batch.snapshots
        # The accepted window, on the agent's clock.
        earliest = received - MAX_AGE_MS - offset
        latest = received + TOLERANCE_MS + MARGIN_MS - offset
        past = [item.time_unix_ms for item in items if item.time_unix_ms < earliest]
        future = [item.time_unix_ms for item in items if item.time_unix_ms > latest]
        if not (offset or past or future):
            return False
        past_offset, future_offset = _group_offsets(past, future, received)
        if past or future:
            self._remember(batch.header.sequence, _Delivery(received, offset))
        oldest = received - MAX_AGE_MS
        scattered = []
        for position, item in enumerate(items):
            time = item.time_unix_ms
            if time < earliest:
                added = past_offset
            elif time > latest:
                added = future_offset
            else:
                added = offset
            if not oldest <= time + added <= received + TOLERANCE_MS + MARGIN_MS:
                scattered.append(position)
            elif added:
                item.time_unix_ms = time + added
                if not isinstance(item, GenericMetric):
                    item.clock_corrected = True
        for position in reversed(scattered):
            del items[position]
        return True

    def offset_changed(self) -> bool:
        """Return True once after each change of the offset."""
        before, self._reported_offset_ms = self._reported_offset_ms, self._offset_ms
        return before != self._offset_ms

    def _delivery(self, header: BatchHeader, received: int, waited: int) -> _Delivery:
        """Update the offset from this batch's header; return what applies to the batch."""
        if header.epoch != self._epoch:
            self._epoch, self._offset_ms = header.epoch, 0
            self._first_deliveries.clear()
        elif header.sequence in self._first_deliveries:
            return self._first_deliveries[header.sequence]
        skew = received - header.sent_at_unix_ms
        if skew > self._offset_ms:
            # Waiting makes a batch look late, so the wait may explain all of the difference.
            skew = max(skew - waited, self._offset_ms)
        allowed = QUANTUM_MS // 2 if self._offset_ms else TOLERANCE_MS
        if abs(skew - self._offset_ms) > allowed + MARGIN_MS:
            is_plausible = abs(skew) <= TOLERANCE_MS
            self._offset_ms = 0 if is_plausible else round(skew / QUANTUM_MS) * QUANTUM_MS
        return _Delivery(received, self._offset_ms)

    def _remember(self, sequence: int, delivery: _Delivery) -> None:
        self._first_deliveries[sequence] = delivery
        if len(self._first_deliveries) > BATCHES_LIMIT:
            self._first_deliveries.popitem(last=False)


def _group_offsets(past: list[int], future: list[int], received: int) -> tuple[int, int]:
    """Return the offsets that move out-of-range timestamps to just before the receive time.

    The newest timestamp from the future becomes `received`. The newest one from the past becomes
    `received` too, or one millisecond before the oldest one from the future if there are any.
    Intervals within each group stay the same, and the groups do not overlap. Timestamps far from
    the middle of their group do not count, so that one wrong timestamp does not move the others.
    """
    end = received
    past_offset = future_offset = 0
    if future:
        near = _near_the_middle(future)
        future_offset = end - max(near)
        end = max(min(near) + future_offset, received - MAX_AGE_MS) - 1
    if past:
        past_offset = end - max(_near_the_middle(past))
    return past_offset, future_offset


def _near_the_middle(times: list[int]) -> list[int]:
    middle = sorted(times)[len(times) // 2]
    return [time for time in times if abs(time - middle) <= MAX_AGE_MS]


class AgentClocks:
    """The clocks of the agents that sent a batch most recently."""

    def __init__(self) -> None:
        self._clocks: OrderedDict[str, AgentClock] = OrderedDict()

    def get(self, vps_id: str) -> AgentClock:
        """Return the agent's clock; one that is not known yet starts without a correction."""
        clock = self._clocks.get(vps_id)
        if clock is None:
            clock = self._clocks[vps_id] = AgentClock()
            if len(self._clocks) > CLOCKS_LIMIT:
                self._clocks.popitem(last=False)
        self._clocks.move_to_end(vps_id)
        return clock
