from pathlib import Path

from flotilla.v1.metrics_pb2 import PerformanceSnapshot

# Counted by the kernel in kB; 0 where it has no such line.
FIELDS = (
    "MemTotal",
    "MemFree",
    "MemAvailable",
    "Buffers",
    "Cached",
    "SReclaimable",
    "SwapTotal",
    "SwapFree",
)


def read_meminfo(proc: Path) -> dict[str, int]:
    """Bytes by field."""
    fields = dict.fromkeys(FIELDS, 0)
    for line in (proc / "meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in fields:
            fields[name] = int(rest.split(maxsplit=1)[0]) * 1024
    return fields


class Memory:
    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:  # noqa: ARG002
        fields = read_meminfo(self._proc)
        cached = fields["Cached"] + fields["Buffers"] + fields["SReclaimable"]
        # Kernels before 3.14, which some container hosts still run, do not say what is available.
        available = fields["MemAvailable"] or fields["MemFree"] + cached
        snapshot.memory_total_bytes = fields["MemTotal"]
        snapshot.memory_used_bytes = max(fields["MemTotal"] - available, 0)
        snapshot.memory_cached_bytes = cached
        snapshot.swap_total_bytes = fields["SwapTotal"]
        snapshot.swap_used_bytes = max(fields["SwapTotal"] - fields["SwapFree"], 0)
