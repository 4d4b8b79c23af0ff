"""Programs that are run for the server, and the ending of all that they started.

What a program started is found by its session, by descent, and by a mark in the environment
that descendants inherit. It remains unfound when it made a session of its own, lost its
parents and cleared its environment; and it remains when it runs as a user whom the agent may
not signal, or was handed to somebody else to run, as by systemd-run, at or the Docker engine.
"""

import asyncio
import contextlib
import logging
import os
import pwd
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
POLL_INTERVAL = 0.03  # seconds
KILL_PATIENCE = 3.0  # seconds, after which one that survives SIGKILL hangs in the kernel
MASK = 0o022
NOBODY = -1  # 0 is the kernel's own


class Program:
    """In a session and process group of its own."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
    ) -> None:
        """Raises: OSError: it cannot be started."""
        _heed()
        self._process = subprocess.Popen(  # noqa: S603  # what the owner of the host allows, signed
            words,
            env=environment,
            cwd=folder(environment["HOME"]),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            umask=MASK,
        )
        self.pid = self._process.pid
        # Over, but not reaped: until then its number is nobody else's.
        self.exited = in_thread("waiting", self._wait)

    def _wait(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    async def end(self, first: signal.Signals, grace: float, mark: str = "") -> int:
        """End what lives of it, at first kindly; the exit code, or minus the signal."""
        await end_all(lambda: family(self.pid, mark), first, grace)
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await asyncio.shield(self.exited)
        return self._process.wait()


def _heed() -> None:
    """Have programs hear what this one ignores, as one that nohup started ignores HUP.

    What is ignored stays so across exec(2), and no shell can change that; what is handled does not.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def surroundings(**more: str) -> dict[str, str]:
    """The environment of a program: nothing of the agent's own is its business."""
    try:
        account = pwd.getpwuid(os.geteuid())
        name, home, shell = account.pw_name, account.pw_dir, account.pw_shell
    except KeyError:
        name, home, shell = str(os.geteuid()), "/", ""
    return {
        "PATH": PATH,
        "HOME": home,
        "USER": name,
        "LOGNAME": name,
        "SHELL": usable_shell(shell),
        "LANG": "C.UTF-8",
        **more,
    }


def usable_shell(shell: str) -> str:
    """Accounts that nobody logs in to have none."""
    if shell and os.access(shell, os.X_OK) and os.path.basename(shell) not in {"nologin", "false"}:  # noqa: PTH119  # a name, not a file
        return shell
    return "/bin/bash" if os.access("/bin/bash", os.X_OK) else "/bin/sh"


def folder(home: str) -> str:
    return home if os.path.isdir(home) and os.access(home, os.X_OK) else "/"  # noqa: PTH112  # as text


def in_thread(name: str, work: Callable[[], T]) -> "asyncio.Future[T]":
    """In a thread of its own, which waits for no other work, and may hang."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # without an error there is one

    def run() -> None:
        result, failed = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001  # the top of the thread
            failed = error
        # The loop may be closed by now, and then nobody waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


async def end_all(find: Callable[[], list[int]], first: signal.Signals, grace: float) -> None:
    found = await in_thread("finding", find)
    send(found, first, signal.SIGCONT)
    deadline = time.monotonic() + grace
    while found and time.monotonic() < deadline:
        await asyncio.sleep(POLL_INTERVAL)
        found = await in_thread("finding", find)
    deadline = time.monotonic() + KILL_PATIENCE
    # One that forks may be missed by a look, but not by all of them.
    while found and time.monotonic() < deadline:
        send(found, signal.SIGKILL)
        await asyncio.sleep(POLL_INTERVAL)
        found = await in_thread("finding", find)
    if found:
        log.warning("processes that cannot be ended: %s", " ".join(map(str, found[:20])))


def send(pids: Iterable[int], *signals: signal.Signals) -> None:
    for pid in pids:
        for number in signals:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def marked(mark: str) -> list[int]:
    return family(NOBODY, mark)


def family(leader: int, mark: str = "") -> list[int]:
    """Living processes of the leader's session, their descendants, and those with the mark."""
    children: dict[int, list[int]] = {}
    found: set[int] = set()
    for pid in _numbers():
        if status := _status(pid):
            parent, session = status
            children.setdefault(parent, []).append(pid)
            if leader in (session, pid) or (mark and _bears(pid, mark)):
                found.add(pid)
    waiting = list(found) + children.get(leader, [])
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += [child for child in children.get(pid, []) if child not in found]
    return sorted(found - {os.getpid()})


def _numbers() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208  # numbers


def _status(pid: int) -> tuple[int, int] | None:
    """Parent and session of one that lives; format: proc(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  # there may be thousands
            # The name may hold anything, a parenthesis too.
            state, parent, _, session, *_ = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if state in (b"Z", b"X") else (int(parent), int(session))


def _bears(pid: int, mark: str) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123  # as above
            return mark.encode() in file.read().split(b"\0")
    except OSError:
        return False


async def readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, _set, ready)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
