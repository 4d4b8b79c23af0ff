from typing import Protocol

from flotilla.v1.metrics_pb2 import PerformanceSnapshot


class Collector(Protocol):
    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:
        """Add this collector's values to `snapshot`.

        Runs on the event loop, so it must not block. `now` is the time of the monotonic clock
        in seconds.
        """
