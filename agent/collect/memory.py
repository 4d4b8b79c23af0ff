from pathlib import Path

from agent.collect.kernel.cgroup import MemoryCgroup
from flotilla.v1.metrics_pb2 import PerformanceSnapshot

Fields = dict[str, int]


def read_fields(path: Path) -> Fields:
    """Return the numbered lines of a file such as /proc/meminfo, in the unit of the file.

    Raises:
        OSError: the file cannot be read.
    """
    fields = {}
    for line in path.read_text(errors="replace").split("\n"):
        words = line.split()
        # /proc/spl has a column with the type between the name and the value.
        value = words[2 if len(words) > 2 and words[2] != "kB" else 1] if len(words) > 1 else ""
        if value.isdecimal():
            fields[words[0].removesuffix(":")] = int(value)
    return fields


def read_meminfo(proc: Path) -> Fields:
    """Return the fields of /proc/meminfo in bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: the total is missing.
    """
    fields = {name: kilobytes * 1024 for name, kilobytes in read_fields(proc / "meminfo").items()}
    if not fields.get("MemTotal"):
        raise ValueError(f"{proc / 'meminfo'} has no MemTotal")
    return fields


class Memory:
    """Reports memory and swap in use.

    psutil.virtual_memory() is not used. It treats a MemAvailable of 0 as missing. It ignores the limit
    of a container, the cache of ZFS, and, on kernels without MemAvailable, the reclaimable slab.
    """

    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._proc = proc
        self._cgroup = MemoryCgroup(proc, sys)

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:  # noqa: ARG002
        fields = read_meminfo(self._proc)
        total = fields["MemTotal"]
        arc = self._reclaimable_arc(total)
        cached = _cached(fields) + arc
        used = max(total - _available(fields) - arc, 0)
        swap_total = fields.get("SwapTotal", 0)
        swap_used = max(swap_total - fields.get("SwapFree", 0), 0)
        limit = self._cgroup.read(total)
        if limit is not None:
            total, used, cached = limit.total, min(limit.used, limit.total), limit.cached
            if limit.swap_total is not None and limit.swap_total < swap_total:
                swap_total, swap_used = limit.swap_total, limit.swap_used
        snapshot.memory_total_bytes = total
        snapshot.memory_used_bytes = used
        snapshot.memory_cached_bytes = cached
        snapshot.swap_total_bytes = swap_total
        snapshot.swap_used_bytes = min(swap_used, swap_total)

    def _reclaimable_arc(self, total: int) -> int:
        """Return the bytes that the cache of ZFS releases when programs need memory."""
        try:
            arc = read_fields(self._proc / "spl/kstat/zfs/arcstats")
        except OSError:
            return 0
        # A container sees the cache of its host, which is not in the container's own memory.
        if max(arc.get("memory_all_bytes", 0), arc.get("size", 0), arc.get("c_max", 0)) > total:
            return 0
        return max(arc.get("size", 0) - arc.get("c_min", 0), 0)


def total_memory(proc: Path, sys: Path) -> int:
    """Return the bytes that this host, or the container that the agent runs in, can use."""
    total = read_meminfo(proc)["MemTotal"]
    limit = MemoryCgroup(proc, sys).read(total)
    return total if limit is None else limit.total


def _cached(fields: Fields) -> int:
    return sum(fields.get(name, 0) for name in ("Cached", "Buffers", "SReclaimable"))


def _available(fields: Fields) -> int:
    total = fields["MemTotal"]
    available = fields.get("MemAvailable", total + 1)
    # Kernels before 3.14, which some container hosts still run, lack the field. Some versions of
    # lxcfs return the value of the host.
    if available > total:
        cached, shared = fields.get("Cached", 0), fields.get("Shmem", 0)
        # Shared memory cannot be given back. On some kernels Cached does not contain it.
        available = fields.get("MemFree", 0) + _cached(fields) - (shared if shared <= cached else 0)
    return min(available, total)
