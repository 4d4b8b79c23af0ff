from pathlib import Path

from agent.collect.omissions import omit
from flotilla.v1.metrics_pb2 import OmittedItem, PerformanceSnapshot

# user nice system idle iowait irq softirq steal: the two guest columns that follow are left
# out, because user and nice contain guest time already; see proc(5).
COLUMNS = 8
IDLE, IOWAIT, STEAL = 3, 4, 7
# The kernel recomputes idle and iowait for each reader, so they may go back a little. A larger
# step back means that the counters were reset.
MAX_STEP_BACK = 100  # ticks
CORE_LIMIT = 1_024  # hosts with higher core numbers report only the total

Ticks = list[int]


class Cpu:
    """Computes CPU usage, in total and per core, from two readings of /proc/stat.

    psutil.cpu_times(percpu=True) is not used: it numbers the cores without gaps, so the cores after
    an offline one get wrong numbers.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._path = proc / "stat"
        self._before: dict[str, Ticks] = {}

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:  # noqa: ARG002
        current = self._read()
        before, self._before = self._before, current
        deltas = {
            name: _delta(before[name], ticks) for name, ticks in current.items() if name in before
        }
        all_cores = deltas.pop("cpu", None)
        if all_cores is not None:
            total = sum(all_cores)
            snapshot.cpu_usage_percent = _busy_percent(all_cores)
            snapshot.cpu_iowait_percent = 100 * all_cores[IOWAIT] / total
            snapshot.cpu_steal_percent = 100 * all_cores[STEAL] / total
        _report_cores(
            snapshot,
            max((int(name.removeprefix("cpu")) for name in deltas), default=-1) + 1,
            {
                int(name.removeprefix("cpu")): _busy_percent(ticks)
                for name, ticks in deltas.items()
                if ticks is not None
            },
        )

    def _read(self) -> dict[str, Ticks]:
        ticks = {}
        with self._path.open() as file:
            for line in file:
                name, *columns = line.split(maxsplit=COLUMNS + 1) or [""]
                if name != "cpu" and not name.removeprefix("cpu").isdecimal():
                    break
                try:
                    counted = [int(column) for column in columns[:COLUMNS]]
                except ValueError:
                    counted = []
                ticks[name] = counted + [0] * (COLUMNS - len(counted))
        return ticks


def _report_cores(snapshot: PerformanceSnapshot, count: int, cores: dict[int, float]) -> None:
    """Report the usage of the cores that have one; the last core has the number `count` - 1."""
    if count > CORE_LIMIT:
        detail = f"core {count - 1} is above the limit of {CORE_LIMIT} cores"
        omit(snapshot, "cpu", "cores", OmittedItem.REASON_TOO_MANY, detail)
        return
    if not cores:
        return
    snapshot.cpu_core_usage_percent.extend(cores.get(core, 0.0) for core in range(count))
    if len(cores) < count:
        snapshot.cpu_cores_without_value.extend(core for core in range(count) if core not in cores)


def _delta(before: Ticks, after: Ticks) -> Ticks | None:
    """Return the ticks between two readings; None after a reset or without any tick."""
    steps = [late - early for early, late in zip(before, after, strict=True)]
    if min(steps) < -MAX_STEP_BACK:
        return None
    steps = [max(step, 0) for step in steps]
    return steps if any(steps) else None


def _busy_percent(ticks: Ticks) -> float:
    total = sum(ticks)
    return 100 * (total - ticks[IDLE] - ticks[IOWAIT]) / total
