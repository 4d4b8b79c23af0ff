from pathlib import Path

import psutil

from agent.collect.kernel.procfs import procfs
from agent.collect.omissions import omit
from flotilla.v1.metrics_pb2 import OmittedItem, PerformanceSnapshot


class Processes:
    """Counts the processes of the host."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:  # noqa: ARG002
        with procfs(self._proc):
            ids = psutil.pids()
        # Process 1 always exists. If it is not visible, /proc is mounted with hidepid, and the
        # processes of other users are not visible either.
        if 1 in ids:
            snapshot.processes = len(ids)
        else:
            detail = "/proc is mounted with hidepid"
            omit(snapshot, "processes", "", OmittedItem.REASON_UNREADABLE, detail)
