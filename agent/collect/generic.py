import asyncio
import contextlib
import io
import logging
import os
import random
import signal
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Callable

from agent.collect.lines import SERIES_LIMIT, parse
from agent.config import Command, LiveConfig
from agent.rhythm import following
from flotilla.v1.metrics_pb2 import GenericMetric

log = logging.getLogger(__name__)

OUTPUT_LIMIT = 64 * 1024  # bytes
AT_ONCE = 4
FIRST_WITHIN = 5.0  # seconds
# Nothing of the agent's own surroundings is a collector's business.
SURROUNDINGS = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}

Deliver = Callable[[list[GenericMetric]], None]


class CollectorError(Exception):
    pass


class Generic:
    """Runs the owner's own collectors, each at its interval; what one does harms no other."""

    def __init__(self, config: LiveConfig, commands: tuple[Command, ...]) -> None:
        self._config = config
        self._commands = commands
        self._allowed = asyncio.Semaphore(AT_ONCE)
        self._troubles: dict[Command, str] = {}

    async def run(self, deliver: Deliver) -> None:
        tasks = [
            asyncio.ensure_future(self._repeat(command, deliver)) for command in self._commands
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            # Each has a process to end.
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _repeat(self, command: Command, deliver: Deliver) -> None:
        await asyncio.sleep(random.uniform(0, min(FIRST_WITHIN, command.interval)))  # noqa: S311  # spreads load
        due = time.monotonic()
        while True:
            if "generic" not in self._config.current.disabled_collectors:
                async with self._allowed:
                    deliver(await self.collect(command))
            due = following(due, command.interval, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def collect(self, command: Command) -> list[GenericMetric]:
        moment = time.time_ns() // 1_000_000
        try:
            output = await execute(command)
            cut = len(output) > OUTPUT_LIMIT
            # The last line before the limit is not whole.
            parsed = parse(output[:OUTPUT_LIMIT].rpartition(b"\n")[0] if cut else output)
        except (CollectorError, OSError) as error:
            self._say(command, str(error))
            return []
        trouble = ", ".join(
            text
            for text, true in (
                (f"prints more than {OUTPUT_LIMIT} bytes", cut),
                (f"prints lines that are not taken: {parsed.problem}", parsed.malformed),
                (f"prints more than {SERIES_LIMIT} series", parsed.surplus),
            )
            if true
        )
        self._say(command, trouble)
        return [
            GenericMetric(
                time_unix_ms=moment, name=point.name, labels=dict(point.labels), value=point.value
            )
            for point in parsed.points
        ]

    def _say(self, command: Command, trouble: str) -> None:
        """Once for each change."""
        before = self._troubles.get(command, "")
        self._troubles[command] = trouble
        if trouble and trouble != before:
            log.warning("collector %s: %s", command.name, trouble)
        elif before and not trouble:
            log.info("collector %s works again", command.name)


async def execute(command: Command) -> bytes:
    """What it prints, cut off soon after the limit.

    Raises:
        CollectorError: it failed or took too long.
    """
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", 0) as pipe:
        # A pipe of asyncio's own would be waited for after the process's end, and whatever
        # the collector left running may hold it open.
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *command.words,
                stdin=DEVNULL,
                stdout=writing,
                stderr=DEVNULL,
                start_new_session=True,
                cwd="/",
                env=SURROUNDINGS,
            )
        )
        starting.add_done_callback(lambda _: os.close(writing))
        try:
            # Cancelled in the middle of starting, there would be nobody to end it.
            process = await asyncio.shield(starting)
            output, code = await asyncio.wait_for(_outcome(process, pipe), command.timeout)
        except asyncio.TimeoutError:
            raise CollectorError(f"takes longer than {command.timeout:g} s") from None
        finally:
            await _end(starting)
    if code and len(output) <= OUTPUT_LIMIT:
        raise CollectorError(f"ends with code {code}")
    return output


async def _end(starting: asyncio.Future[asyncio.subprocess.Process]) -> None:
    process = await starting
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def _outcome(process: asyncio.subprocess.Process, pipe: io.FileIO) -> tuple[bytes, int]:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        output = b""
        while len(output) <= OUTPUT_LIMIT and (part := await reader.read(OUTPUT_LIMIT)):
            output += part
        return output, 0 if len(output) > OUTPUT_LIMIT else await process.wait()
    finally:
        transport.close()


def plugins() -> list[Command]:
    """Entry points, where the agent is a package that others can be installed beside."""
    if getattr(sys, "frozen", False):
        return []
    from agent.collect import plugin  # noqa: PLC0415  # 1 MB that the self-contained build spares

    return [
        Command((sys.executable, "-m", "agent.collect.plugin", name), name=name)
        for name in plugin.names()
    ]
