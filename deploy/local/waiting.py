from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LOG_LINES = 12  # last lines of a log that an error shows


class StackError(Exception):
    """An error that the user has to fix; it is shown without a traceback."""


def wait_for(
    check: Callable[[], T | None], *, seconds: float, otherwise: str, log: Path | None = None
) -> T:
    """Return the first answer of `check` that is not None or False.

    Raises:
        StackError: there was none in time. It shows `otherwise` and the end of the log.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            message = f"Gave up after {seconds:.0f} s. {otherwise}"
            raise StackError(message if log is None else f"{message} {see(log)}")
        time.sleep(0.1)


def see(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:] if log.exists() else []
    return "\n".join([f"See {log}.", *lines])


@contextmanager
def alone(lock: Path, *, seconds: float) -> Iterator[None]:
    """Hold a lock file exclusively; the kernel releases it even if the process is killed."""

    def taken() -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.open("w") as file:
        wait_for(taken, seconds=seconds, otherwise=f"Another command holds {lock}.")
        yield
