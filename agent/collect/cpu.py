from pathlib import Path

from flotilla.v1.metrics_pb2 import PerformanceSnapshot

# user nice system idle iowait irq softirq steal: proc(5) counts guest time inside
# user and nice, so the two guest columns that follow are left out.
COLUMNS = 8
IDLE, IOWAIT, STEAL = 3, 4, 7
# The kernel computes idle and iowait anew for each reader, so they may step back a
# little; more than this is a reset.
STEP_BACK = 100  # ticks
CORE_LIMIT = 1_024  # beyond which there is only the whole

Ticks = list[int]


class Cpu:
    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._path = proc / "stat"
        self._before: dict[str, Ticks] = {}

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:  # noqa: ARG002
        current = self._read()
        before, self._before = self._before, current
        if before.keys() != current.keys():
            return
        spent = {core: _spent(before[core], ticks) for core, ticks in current.items()}
        whole = spent.pop("cpu")
        if whole is not None:
            total = sum(whole)
            snapshot.cpu_usage_percent = _busy(whole)
            snapshot.cpu_iowait_percent = 100 * whole[IOWAIT] / total
            snapshot.cpu_steal_percent = 100 * whole[STEAL] / total
        cores = [_busy(ticks) for ticks in spent.values() if ticks is not None]
        # A position stands for a core, so it is all of them or none.
        if len(cores) == len(spent) <= CORE_LIMIT:
            snapshot.cpu_core_usage_percent.extend(cores)

    def _read(self) -> dict[str, Ticks]:
        ticks = {}
        with self._path.open() as file:
            for line in file:
                name, *columns = line.split(maxsplit=COLUMNS + 1)
                if not name.startswith("cpu"):
                    break
                counted = [int(column) for column in columns[:COLUMNS]]
                ticks[name] = counted + [0] * (COLUMNS - len(counted))
        return ticks


def _spent(before: Ticks, after: Ticks) -> Ticks | None:
    steps = [late - early for early, late in zip(before, after, strict=True)]
    if min(steps) < -STEP_BACK:
        return None
    steps = [max(step, 0) for step in steps]
    return steps if any(steps) else None


def _busy(ticks: Ticks) -> float:
    total = sum(ticks)
    return 100 * (total - ticks[IDLE] - ticks[IOWAIT]) / total
