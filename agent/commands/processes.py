"""Programs run on behalf of the server, and the termination of all their processes.

The processes of a program are found by its session, by descent, and by a tag in the environment
that descendants inherit. A process is not found if it made its own session, lost its parents and
cleared its environment. It cannot be ended if it runs as a user whom the agent may not signal, or
if another service runs it, such as systemd-run, at or the Docker engine.
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
KILL_TIMEOUT = 3.0  # seconds; a process that survives SIGKILL longer hangs in the kernel
UMASK = 0o022
NO_LEADER = -1  # 0 is the session of kernel threads


class Program:
    """A program in its own session and process group."""

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
    ) -> None:
        """Raises: OSError: the program cannot be started."""
        _reset_ignored_signals()
        self._process = subprocess.Popen(  # noqa: S603  # signed, and allowed by the host's owner
            argv,
            env=environment,
            cwd=working_directory(environment["HOME"]),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            umask=UMASK,
        )
        self.pid = self._process.pid
        # The exited process is not reaped yet, so its number cannot be reused.
        self.exited = run_in_thread("waiting", self._wait)

    def _wait(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    async def terminate(self, first: signal.Signals, grace: float, tag: str = "") -> int:
        """End all processes, first with a signal, after `grace` seconds with SIGKILL.

        Return the exit code of the program, or the negative number of the signal that ended it.
        """
        await terminate_all(lambda: process_family(self.pid, tag), first, grace)
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await asyncio.shield(self.exited)
        return self._process.wait()


def _reset_ignored_signals() -> None:
    """Handle the signals that this process ignores, for example SIGHUP when nohup started it.

    An ignored signal stays ignored across exec(2) and no shell can change that; a handled signal
    is reset.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def program_environment(**more: str) -> dict[str, str]:
    """Return the environment of a program, with nothing of the agent's own environment."""
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
    """Return the account's shell, or another one if the account has no login shell."""
    if shell and os.access(shell, os.X_OK) and os.path.basename(shell) not in {"nologin", "false"}:  # noqa: PTH119  # a name, not a file
        return shell
    return "/bin/bash" if os.access("/bin/bash", os.X_OK) else "/bin/sh"


def working_directory(home: str) -> str:
    return home if os.path.isdir(home) and os.access(home, os.X_OK) else "/"  # noqa: PTH112  # as text


def run_in_thread(name: str, work: Callable[[], T]) -> "asyncio.Future[T]":
    """Run work that may hang in its own thread, where it cannot delay other work."""
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
        # A closed loop has no task that waits for the result.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


async def terminate_all(find: Callable[[], list[int]], first: signal.Signals, grace: float) -> None:
    """Send `first` to the processes that `find` returns, after `grace` seconds SIGKILL."""
    found = await run_in_thread("finding", find)
    send_signals(found, first, signal.SIGCONT)
    deadline = time.monotonic() + grace
    while found and time.monotonic() < deadline:
        await asyncio.sleep(POLL_INTERVAL)
        found = await run_in_thread("finding", find)
    deadline = time.monotonic() + KILL_TIMEOUT
    # One search may miss the children of a process that forks; repeated searches do not.
    while found and time.monotonic() < deadline:
        send_signals(found, signal.SIGKILL)
        await asyncio.sleep(POLL_INTERVAL)
        found = await run_in_thread("finding", find)
    if found:
        log.warning("these processes do not end after SIGKILL: %s", " ".join(map(str, found[:20])))


def send_signals(pids: Iterable[int], *signals: signal.Signals) -> None:
    for pid in pids:
        for number in signals:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def tagged_processes(tag: str) -> list[int]:
    return process_family(NO_LEADER, tag)


def process_family(leader: int, tag: str = "") -> list[int]:
    """Return the live processes of the leader's session, those with the tag, and descendants."""
    children: dict[int, list[int]] = {}
    found: set[int] = set()
    for pid in _all_pids():
        if status := _parent_and_session(pid):
            parent, session = status
            children.setdefault(parent, []).append(pid)
            if leader in (session, pid) or (tag and _has_tag(pid, tag)):
                found.add(pid)
    waiting = list(found) + children.get(leader, [])
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += [child for child in children.get(pid, []) if child not in found]
    return sorted(found - {os.getpid()})


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208  # numbers


def _parent_and_session(pid: int) -> tuple[int, int] | None:
    """Return None for a process that is gone or dead; format: proc(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  # there may be thousands
            # The process name before the last ")" can contain any character.
            state, parent, _, session, *_ = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if state in (b"Z", b"X") else (int(parent), int(session))


def _has_tag(pid: int, tag: str) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123  # as above
            return tag.encode() in file.read().split(b"\0")
    except OSError:
        return False


async def wait_readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def wait_writable(descriptor: int) -> None:
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
