import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios

from agent.execute.failure import unavailable
from agent.execute.processes import Program, readable, surroundings, writable

HANG_UP_GRACE = 1.0  # seconds between HUP and KILL
# The kernel may still bring what was written just before the end.
AFTERGLOW = 0.2  # seconds
# The first terminal that the leader of a session opens is its controlling one; see tty_ioctl(4)
# and credentials(7). Done by a shell, since between fork and exec of a process with threads no
# Python should run.
START = 'exec <>"$1" >&0 2>&0; shift; exec "$@"'
# Shells that know what a login shell is; each is told by an option.
LOGIN = {"bash", "zsh", "fish", "ksh", "mksh", "tcsh", "csh"}


class Terminal:
    """A PTY with the login shell of the agent's user."""

    def __init__(self, columns: int, rows: int) -> None:
        """Raises: CommandFailedError: no PTY, or no process, is to be had."""
        environment = surroundings(TERM="xterm-256color")
        shell = environment["SHELL"]
        self.program = os.path.basename(shell)  # noqa: PTH119  # of a path as text
        options = ["-l"] if self.program in LOGIN else []
        slave = -1
        try:
            self._master, slave = os.openpty()
            _set_size(self._master, columns, rows)
            os.set_blocking(self._master, False)
            words = ["/bin/sh", "-c", START, "sh", os.ttyname(slave), shell, *options]
            self._program = Program(words, environment, stdin=slave, stdout=slave, stderr=slave)
        except OSError as error:
            if slave >= 0:
                os.close(self._master)
            raise unavailable(f"no terminal can be opened: {error.strerror}") from None
        finally:
            if slave >= 0:
                os.close(slave)
        self._code: int | None = None

    async def read(self, most: int) -> bytes:
        exited = self._program.exited
        while True:
            late = exited.done()
            try:
                return os.read(self._master, most)
            except BlockingIOError:
                more = await self._more(AFTERGLOW if late else None)
                if late and not more:
                    return b""
            except OSError:
                # Nobody holds the other side.
                if late:
                    return b""
                await asyncio.shield(exited)

    async def _more(self, patience: float | None) -> bool:
        """Whether there may be more to read; it wakes up at the program's end, too."""
        ready = asyncio.ensure_future(readable(self._master))
        waiting: set[asyncio.Future[None]] = {ready}
        if patience is None:
            waiting.add(self._program.exited)
        try:
            await asyncio.wait(waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            return ready.done()
        finally:
            ready.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ready

    async def write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await writable(self._master)
            except OSError:
                return  # it is over; whoever reads will see

    async def resize(self, columns: int, rows: int) -> None:
        _set_size(self._master, columns, rows)

    async def close(self) -> int:
        if self._code is None:
            self._code = await self._program.end(signal.SIGHUP, HANG_UP_GRACE)
            os.close(self._master)
        return self._code


def _set_size(master: int, columns: int, rows: int) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
