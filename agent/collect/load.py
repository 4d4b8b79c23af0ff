from pathlib import Path

from flotilla.v1.metrics_pb2 import PerformanceSnapshot


class Load:
    """Reports the load averages of the kernel."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._path = proc / "loadavg"

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:  # noqa: ARG002
        one, five, fifteen, *_ = self._path.read_text().split()
        snapshot.load_1 = float(one)
        snapshot.load_5 = float(five)
        snapshot.load_15 = float(fifteen)
