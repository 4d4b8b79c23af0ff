import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Callable, Iterator

from agent.execute.failure import invalid, too_large, unavailable
from agent.execute.output import Output
from agent.execute.processes import Program, end_all, marked, readable, surroundings

SCRIPT_LIMIT = 128 * 1024 - 1  # bytes; the kernel's for one argument, execve(2)
CHUNK = 64 * 1024  # bytes
KILL_GRACE = 2.0  # seconds between TERM and KILL
# What the script left running in its session may still say something; then it is ended.
AFTERGLOW = 0.3  # seconds


Sink = Callable[[bytes], None]


def mark(command_id: str) -> str:
    """In the environment of all that a command starts."""
    return f"FLOTILLA_COMMAND={command_id}"


async def run(script: str, command_id: str, output: Output) -> int:
    """The exit code, or minus the signal that ended it; cancelled, it ends all it started.

    Who made a session of its own outlives a script that comes to its end, as daemons do.
    """
    if "\0" in script:
        raise invalid("a script has no NUL in it")
    if len(script.encode(errors="surrogatepass")) > SCRIPT_LIMIT:
        raise too_large(f"a script has at most {SCRIPT_LIMIT} bytes")
    with contextlib.ExitStack() as pipes:
        stdout, stderr, program = _start(script, command_id, pipes)
        ending = ""
        sinks: tuple[tuple[int, Sink], ...] = (
            (stdout, lambda data: output.add(stdout=data)),
            (stderr, lambda data: output.add(stderr=data)),
        )
        copying = [asyncio.ensure_future(_copy(pipe, sink, output)) for pipe, sink in sinks]
        try:
            await asyncio.shield(program.exited)
            await asyncio.wait(copying, timeout=AFTERGLOW)
        except asyncio.CancelledError:
            ending = mark(command_id)
            raise
        finally:
            code = await _ended(program, ending)
            for task in copying:
                task.cancel()
            await asyncio.gather(*copying, return_exceptions=True)
            for pipe, sink in sinks:
                for data in _left(pipe):
                    sink(data)
        return code


async def end_left(command_id: str) -> None:
    """End what a command started whose agent was killed."""
    await end_all(lambda: marked(mark(command_id)), signal.SIGTERM, KILL_GRACE)


def _start(script: str, command_id: str, pipes: contextlib.ExitStack) -> tuple[int, int, Program]:
    out, err = os.pipe(), os.pipe()
    for reading, _ in (out, err):
        os.set_blocking(reading, False)
        pipes.callback(os.close, reading)
    environment = surroundings(TERM="dumb")
    name, _, value = mark(command_id).partition("=")
    environment[name] = value
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        program = Program(
            ["/bin/sh", "-c", script], environment, stdin=nothing, stdout=out[1], stderr=err[1]
        )
    except OSError as error:
        raise unavailable(f"no shell can be started: {error.strerror}") from None
    finally:
        for descriptor in (nothing, out[1], err[1]):
            os.close(descriptor)
    return out[0], err[0], program


async def _ended(program: Program, ending: str) -> int:
    """Done to its end, even when cancelled meanwhile."""
    end = asyncio.ensure_future(program.end(signal.SIGTERM, KILL_GRACE, ending))
    cancelled = None
    while not end.done():
        try:
            await asyncio.shield(end)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
    return end.result()


async def _copy(pipe: int, sink: Sink, output: Output) -> None:
    """Until the pipe ends; cancelled, it loses nothing."""
    while True:
        await output.room()
        try:
            data = os.read(pipe, CHUNK)
        except BlockingIOError:
            await readable(pipe)
            continue
        if not data:
            return
        sink(data)


def _left(pipe: int) -> Iterator[bytes]:
    """What is in it now: who made a session of its own may write to it for ever."""
    size = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
    while size > 0 and (data := os.read(pipe, min(size, CHUNK))):
        size -= len(data)
        yield data
