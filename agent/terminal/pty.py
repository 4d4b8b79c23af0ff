import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios

from agent.commands.errors import unavailable
from agent.commands.processes import Program, program_environment, wait_readable, wait_writable

HANG_UP_GRACE = 1.0  # seconds between SIGHUP and SIGKILL
# Output written just before the end of the program can arrive this much later.
DRAIN_TIMEOUT = 0.2  # seconds
# The first terminal that a session leader opens becomes its controlling terminal; see tty_ioctl(4)
# and credentials(7). A shell opens it, because no Python may run between fork and exec of a
# process with threads.
START = 'exec <>"$1" >&0 2>&0; shift; exec "$@"'
# Shells that have the option -l for a login shell.
LOGIN_SHELLS = {"bash", "zsh", "fish", "ksh", "mksh", "tcsh", "csh"}


class Terminal:
    """A PTY that runs the login shell of the agent's user."""

    def __init__(self, columns: int, rows: int) -> None:
        """Raises: CommandFailedError: no PTY or process is available."""
        environment = program_environment(TERM="xterm-256color")
        shell = environment["SHELL"]
        self.program = os.path.basename(shell)  # noqa: PTH119  # of a path as text
        options = ["-l"] if self.program in LOGIN_SHELLS else []
        slave = -1
        try:
            self._master, slave = os.openpty()
            _set_size(self._master, columns, rows)
            os.set_blocking(self._master, False)
            argv = ["/bin/sh", "-c", START, "sh", os.ttyname(slave), shell, *options]
            self._program = Program(argv, environment, stdin=slave, stdout=slave, stderr=slave)
        except OSError as error:
            if slave >= 0:
                os.close(self._master)
            raise unavailable(
                f"The agent could not open a terminal: {error.strerror}. Check the memory and the"
                " process limit of the server."
            ) from None
        finally:
            if slave >= 0:
                os.close(slave)
        self._code: int | None = None

    async def read(self, most: int) -> bytes:
        exited = self._program.exited
        while True:
            has_exited = exited.done()
            try:
                return os.read(self._master, most)
            except BlockingIOError:
                more = await self._wait_for_output(DRAIN_TIMEOUT if has_exited else None)
                if has_exited and not more:
                    return b""
            except OSError:
                # No process has the terminal open.
                if has_exited:
                    return b""
                await asyncio.shield(exited)

    async def _wait_for_output(self, timeout: float | None) -> bool:
        """Wait for output; without a timeout also return at the end of the program.

        Return True if there is output.
        """
        ready = asyncio.ensure_future(wait_readable(self._master))
        waiting: set[asyncio.Future[None]] = {ready}
        if timeout is None:
            waiting.add(self._program.exited)
        try:
            await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
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
                await wait_writable(self._master)
            except OSError:
                return  # the terminal is gone; read() reports the end

    async def resize(self, columns: int, rows: int) -> None:
        _set_size(self._master, columns, rows)

    async def close(self) -> int:
        if self._code is None:
            self._code = await self._program.terminate(signal.SIGHUP, HANG_UP_GRACE)
            os.close(self._master)
        return self._code


def _set_size(master: int, columns: int, rows: int) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
