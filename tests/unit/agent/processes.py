import contextlib
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.unit.agent.edge import soon

Launch = Callable[..., Awaitable[Process]]


@contextlib.asynccontextmanager
async def launching() -> AsyncIterator[Launch]:
    """Starts agents of which none outlives its test."""
    started: list[Process] = []

    async def launch(*arguments: str) -> Process:
        process = await create_subprocess_exec(
            sys.executable, "-m", "agent", *arguments, stdout=PIPE, stderr=PIPE
        )
        started.append(process)
        return process

    try:
        yield launch
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
                await outcome(process)


async def outcome(process: Process) -> tuple[int, str, str]:
    out, err = await soon(process.communicate())
    return process.returncode or 0, out.decode(), err.decode()
