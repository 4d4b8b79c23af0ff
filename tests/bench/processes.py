"""Memory and processor time of processes, as the kernel counts them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

READ_EVERY = 5.0  # seconds; smaps_rollup makes the kernel walk the whole address space
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Reading:
    """Use of one process and its descendants at one moment."""

    at: float
    processes: int
    rss_bytes: int
    pss_bytes: int | None
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Use:
    """Use of one process and its children over a period; memory is the maximum that was read."""

    processes: int
    rss_bytes: int
    pss_bytes: int | None
    """Proportional memory: shared pages are divided among their users. None if unknown."""
    cpu_percent: float
    """Share of one core."""


async def watch(roots: Mapping[str, int], seconds: float) -> dict[str, Use | None]:
    """Return the use of each process by name; None for a process that ended in that time."""
    readings: dict[str, list[Reading] | None] = {name: [] for name in roots}
    end = time.monotonic() + seconds
    while True:
        for name, pid in roots.items():
            taken = readings[name]
            if taken is None:
                continue
            try:
                # In a thread, so that other measurements in this event loop are not delayed.
                taken.append(await asyncio.to_thread(read, pid))
            except psutil.NoSuchProcess:
                readings[name] = None
        left = end - time.monotonic()
        if left <= 0:
            break
        await asyncio.sleep(min(READ_EVERY, left))
    return {name: None if taken is None else _use(taken) for name, taken in readings.items()}


def read(pid: int) -> Reading:
    """Raises: psutil.NoSuchProcess: the process itself, not a descendant, has ended."""
    root = psutil.Process(pid)
    rss, cpu, count = 0, 0.0, 0
    pss: int | None = 0
    at = time.monotonic()
    for process in [root, *root.children(recursive=True)]:
        try:
            own_rss, own_pss = _memory(process.pid)
            own_cpu = _cpu_seconds(process.pid)
        except (FileNotFoundError, ProcessLookupError):
            if process == root:
                raise psutil.NoSuchProcess(pid) from None
            continue
        rss += own_rss
        pss = None if pss is None or own_pss is None else pss + own_pss
        cpu += own_cpu
        count += 1
    return Reading(at, count, rss, pss, cpu)


def busy_seconds() -> float:
    """Return the busy time of all cores together since boot, in seconds."""
    times = psutil.cpu_times()
    return float(sum(times[:-2]) - times.idle - times.iowait)  # guest time is in user time


def _use(readings: list[Reading]) -> Use:
    first, last = readings[0], readings[-1]
    shares = [reading.pss_bytes for reading in readings if reading.pss_bytes is not None]
    return Use(
        processes=max(reading.processes for reading in readings),
        rss_bytes=max(reading.rss_bytes for reading in readings),
        pss_bytes=max(shares) if len(shares) == len(readings) else None,
        cpu_percent=100 * (last.cpu_seconds - first.cpu_seconds) / (last.at - first.at),
    )


def _memory(pid: int) -> tuple[int, int | None]:
    """Return resident and proportional memory in bytes."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError:
        return psutil.Process(pid).memory_info().rss, None
    fields = dict(line.split(":", 1) for line in text.splitlines()[1:])
    return _kibibytes(fields["Rss"]), _kibibytes(fields["Pss"])


def _kibibytes(field: str) -> int:
    return int(field.split(maxsplit=1)[0]) * 1024


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time, including that of children that have ended."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    user, system, children_user, children_system = stat.rpartition(")")[2].split()[11:15]
    return (int(user) + int(system) + int(children_user) + int(children_system)) / TICKS
