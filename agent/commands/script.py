import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Callable, Iterator

from agent.commands.errors import invalid, too_large, unavailable
from agent.commands.output import Output
from agent.commands.processes import (
    Program,
    program_environment,
    tagged_processes,
    terminate_all,
    wait_readable,
)

SCRIPT_LIMIT = 128 * 1024 - 1  # bytes; the kernel's limit of one argument, see execve(2)
CHUNK = 64 * 1024  # bytes
KILL_GRACE = 2.0  # seconds between SIGTERM and SIGKILL
# Processes that the script left in its session may still print for this long; then they are ended.
DRAIN_TIMEOUT = 0.3  # seconds

Sink = Callable[[bytes], None]


def process_tag(command_id: str) -> str:
    """Return the environment variable that marks all processes of a command."""
    return f"FLOTILLA_COMMAND={command_id}"


async def run(script: str, command_id: str, output: Output) -> int:
    """Run a script; return its exit code, or the negative number of the signal that ended it.

    At the end of the script the processes in its session are ended; a daemon with a session of
    its own continues. A cancelled run ends all processes that the script started.

    Raises:
        CommandFailedError: the script is malformed, or no shell can be started.
    """
    if "\0" in script:
        raise invalid("A script must not contain a NUL character.")
    size = len(script.encode(errors="surrogatepass"))
    if size > SCRIPT_LIMIT:
        raise too_large(f"A script can have at most {SCRIPT_LIMIT} bytes; this one has {size}.")
    with contextlib.ExitStack() as pipes:
        stdout, stderr, program = _start(script, command_id, pipes)
        tag = ""
        sinks: tuple[tuple[int, Sink], ...] = (
            (stdout, lambda data: output.add(stdout=data)),
            (stderr, lambda data: output.add(stderr=data)),
        )
        copying = [asyncio.ensure_future(_copy(pipe, sink, output)) for pipe, sink in sinks]
        try:
            await asyncio.shield(program.exited)
            await asyncio.wait(copying, timeout=DRAIN_TIMEOUT)
        except asyncio.CancelledError:
            tag = process_tag(command_id)
            raise
        finally:
            code = await _terminate(program, tag)
            for task in copying:
                task.cancel()
            await asyncio.gather(*copying, return_exceptions=True)
            for pipe, sink in sinks:
                for data in _remaining(pipe):
                    sink(data)
        return code


async def end_orphans(command_id: str) -> None:
    """End the processes of a command whose agent was killed."""
    tag = process_tag(command_id)
    await terminate_all(lambda: tagged_processes(tag), signal.SIGTERM, KILL_GRACE)


def _start(script: str, command_id: str, pipes: contextlib.ExitStack) -> tuple[int, int, Program]:
    """Start the shell; return the pipes of its stdout and stderr, and the program."""
    out, err = os.pipe(), os.pipe()
    for reading, _ in (out, err):
        os.set_blocking(reading, False)
        pipes.callback(os.close, reading)
    environment = program_environment(TERM="dumb")
    name, _, value = process_tag(command_id).partition("=")
    environment[name] = value
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        program = Program(
            ["/bin/sh", "-c", script], environment, stdin=null, stdout=out[1], stderr=err[1]
        )
    except OSError as error:
        raise unavailable(
            f"The agent could not start /bin/sh: {error.strerror}. Check the memory and the"
            " process limit of the server."
        ) from None
    finally:
        for descriptor in (null, out[1], err[1]):
            os.close(descriptor)
    return out[0], err[0], program


async def _terminate(program: Program, tag: str) -> int:
    """End the program completely, even if this task is cancelled while it waits."""
    ending = asyncio.ensure_future(program.terminate(signal.SIGTERM, KILL_GRACE, tag))
    cancelled = None
    while not ending.done():
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
    return ending.result()


async def _copy(pipe: int, sink: Sink, output: Output) -> None:
    """Copy until the end of the pipe. No data is lost if this is cancelled."""
    while True:
        await output.wait_for_room()
        try:
            data = os.read(pipe, CHUNK)
        except BlockingIOError:
            await wait_readable(pipe)
            continue
        if not data:
            return
        sink(data)


def _remaining(pipe: int) -> Iterator[bytes]:
    """Yield the data that is in the pipe now. A daemon may keep writing to the pipe forever."""
    size = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
    while size > 0 and (data := os.read(pipe, min(size, CHUNK))):
        size -= len(data)
        yield data
