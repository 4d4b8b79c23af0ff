"""The processes that use the most CPU time and memory."""

import contextlib
import dataclasses
import heapq
import os
from collections.abc import Iterator
from pathlib import Path

from agent.collect.omissions import omit, omit_more, readable
from flotilla.v1.metrics_pb2 import OmittedItem, PerformanceSnapshot

NAME = "top_processes"
INTERVAL = 15.0  # seconds between two readings
TOLERANCE = 0.1  # of the interval: a sample may come a little early
COUNT = 5  # of each order
PROCESS_LIMIT = 4_096  # one costs about 10 µs, and reading all of them blocks the event loop
STAT_BYTES = 1_024  # a line of /proc/PID/stat has at most half of that
USERS_BYTES = 256 * 1024  # of /etc/passwd
NAME_LIMIT = 64  # characters; a program's name has 15 bytes, and a kernel thread's has 63

# Positions in /proc/PID/stat after the name; see proc(5).
USER_TICKS, SYSTEM_TICKS, START, RESIDENT = 11, 12, 19, 21


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    pid: int
    name: str
    ticks: int
    """CPU time since the process started."""
    start: int
    """Start time in ticks since boot. It tells apart processes that had the same id."""
    resident: int
    """Resident memory in pages."""


class TopProcesses:
    """Reports a few processes by name, every fifteen seconds.

    Command lines are not read, because they often contain secrets.
    """

    def __init__(self, proc: Path = Path("/proc"), passwd: Path = Path("/etc/passwd")) -> None:
        self._proc = proc
        self._users = _Users(passwd)
        self._ticks = os.sysconf("SC_CLK_TCK")  # per second
        self._page = os.sysconf("SC_PAGE_SIZE")  # bytes
        self._before: dict[tuple[int, int], int] = {}
        self._read_at: float | None = None
        self._count = 0

    def collect(self, snapshot: PerformanceSnapshot, now: float) -> None:
        elapsed = None if self._read_at is None else now - self._read_at
        if elapsed is not None and elapsed < INTERVAL * (1 - TOLERANCE):
            # Every sample must name the omission; otherwise the log would repeat it.
            omit_more(snapshot, NAME, self._count, PROCESS_LIMIT)
            return
        with _open_folder(self._proc) as folder:
            # Without process 1, the processes of other users are hidden, see processes.py.
            if not (self._proc / "1").exists():
                detail = "/proc is mounted with hidepid"
                omit(snapshot, NAME, "", OmittedItem.REASON_UNREADABLE, detail)
                return
            with os.scandir(folder) as items:
                ids = sorted(int(item.name) for item in items if item.name.isdecimal())
            self._count = len(ids)
            omit_more(snapshot, NAME, self._count, PROCESS_LIMIT)
            processes = [
                found for pid in ids[:PROCESS_LIMIT] if (found := _read(folder, pid)) is not None
            ]
            self._report(snapshot, folder, processes, elapsed)
        self._before = {(each.pid, each.start): each.ticks for each in processes}
        self._read_at = now

    def _report(
        self,
        snapshot: PerformanceSnapshot,
        folder: int,
        processes: list[Process],
        elapsed: float | None,
    ) -> None:
        used = {each.pid: self._used(each) for each in processes}
        largest = heapq.nlargest(COUNT, processes, key=lambda each: each.resident)
        chosen = {each.pid: each for each in largest if each.resident > 0}
        if elapsed is not None:
            busiest = heapq.nlargest(COUNT, processes, key=lambda each: used[each.pid])
            chosen |= {each.pid: each for each in busiest if used[each.pid] > 0}
        for each in chosen.values():
            item = snapshot.top_processes.add(
                pid=each.pid,
                name=each.name,
                user=self._users.name(folder, each.pid),
                resident_bytes=each.resident * self._page,
            )
            if elapsed:
                item.cpu_usage_percent = 100 * used[each.pid] / self._ticks / elapsed

    def _used(self, process: Process) -> int:
        """Return the ticks since the last reading; all of them for a process that is new."""
        return max(process.ticks - self._before.get((process.pid, process.start), 0), 0)


class _Users:
    """Names of users from /etc/passwd.

    Users that only a directory service knows keep their numbers: asking it can block.
    """

    def __init__(self, passwd: Path) -> None:
        self._passwd = passwd
        self._changed_at = -1
        self._names: dict[int, str] = {}

    def name(self, folder: int, pid: int) -> str:
        """Return the user of a process; empty if the process is gone."""
        try:
            number = os.stat(str(pid), dir_fd=folder).st_uid
        except OSError:
            return ""
        with contextlib.suppress(OSError):
            changed_at = self._passwd.stat().st_mtime_ns
            if changed_at != self._changed_at:
                self._names = self._load()
                self._changed_at = changed_at
        return self._names.get(number, str(number))

    def _load(self) -> dict[int, str]:
        with self._passwd.open(errors="surrogateescape") as file:
            lines = file.read(USERS_BYTES).splitlines()
        names: dict[int, str] = {}
        for line in lines:
            fields = line.split(":")
            if len(fields) > 2 and fields[2].isdecimal():
                names.setdefault(int(fields[2]), readable(fields[0])[:NAME_LIMIT])
        return names


@contextlib.contextmanager
def _open_folder(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(folder: int, pid: int) -> Process | None:
    """Return a process; None if it has ended, or if its line cannot be read."""
    try:
        descriptor = os.open(f"{pid}/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
        try:
            line = os.read(descriptor, STAT_BYTES)
        finally:
            os.close(descriptor)
        # The name is in parentheses and may contain some.
        head, _, tail = line.rpartition(b") ")
        fields = tail.split()
        return Process(
            pid=pid,
            name=readable(os.fsdecode(head.partition(b"(")[2]))[:NAME_LIMIT],
            ticks=int(fields[USER_TICKS]) + int(fields[SYSTEM_TICKS]),
            start=int(fields[START]),
            resident=int(fields[RESIDENT]),
        )
    except (OSError, ValueError, IndexError):
        return None
