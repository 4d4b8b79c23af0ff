from pathlib import Path

from flotilla.v1.metrics_pb2 import PerformanceSnapshot


class Uptime:
    """Reports the seconds since boot."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._path = proc / "uptime"

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:  # noqa: ARG002
        snapshot.uptime_seconds = int(float(self._path.read_text().split()[0]))
