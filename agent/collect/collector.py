from typing import Protocol

from flotilla.v1.metrics_pb2 import PerformanceSnapshot


class Collector(Protocol):
    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:
        """Fill in what this collector knows; `now` is of the monotonic clock.

        Runs on the event loop, so it must not block.
        """
