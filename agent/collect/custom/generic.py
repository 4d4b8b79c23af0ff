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

from agent.base.cancellation import finish
from agent.base.config import CustomCollector, LiveConfig
from agent.collect.custom.lines import SERIES_LIMIT, parse
from agent.collect.schedule import next_due
from flotilla.v1.metrics_pb2 import GenericMetric

log = logging.getLogger(__name__)

OUTPUT_LIMIT = 64 * 1024  # bytes
MAX_CONCURRENT = 4  # collectors
MAX_FIRST_DELAY = 5.0  # seconds
# Collectors do not see the environment of the agent, which may hold secrets.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}

Deliver = Callable[[list[GenericMetric]], None]


class CollectorError(Exception):
    """A collector failed or timed out."""


class CustomCollectors:
    """Runs the collectors of the host's owner, each in its own process at its own interval."""

    def __init__(self, config: LiveConfig, commands: tuple[CustomCollector, ...]) -> None:
        self._config = config
        self._commands = commands
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._problems: dict[CustomCollector, str] = {}

    async def run(self, deliver: Deliver) -> None:
        tasks = [
            asyncio.ensure_future(self._repeat(command, deliver)) for command in self._commands
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            # Each task ends the process that it has started.
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _repeat(self, command: CustomCollector, deliver: Deliver) -> None:
        await asyncio.sleep(random.uniform(0, min(MAX_FIRST_DELAY, command.interval)))  # noqa: S311  # spreads load
        now = asyncio.get_running_loop().time
        due = now()
        while True:
            if "generic" not in self._config.current.disabled_collectors:
                async with self._slots:
                    deliver(await self.collect(command))
            due = next_due(due, command.interval, now())
            await asyncio.sleep(due - now())

    async def collect(self, command: CustomCollector) -> list[GenericMetric]:
        now_ms = time.time_ns() // 1_000_000
        try:
            output = await execute(command)
        except (CollectorError, OSError) as error:
            self._log_change(command, str(error))
            return []
        truncated = len(output) > OUTPUT_LIMIT
        # The last line before the limit is incomplete.
        parsed = parse(output[:OUTPUT_LIMIT].rpartition(b"\n")[0] if truncated else output)
        problems = []
        if truncated:
            problems.append(f"it prints more than {OUTPUT_LIMIT} bytes; the rest is ignored")
        if parsed.malformed:
            problems.append(f"malformed lines are ignored: {parsed.problem}")
        if parsed.surplus:
            problems.append(f"it prints more than {SERIES_LIMIT} series; the rest is ignored")
        self._log_change(command, ", ".join(problems))
        return [
            GenericMetric(
                time_unix_ms=now_ms, name=point.name, labels=dict(point.labels), value=point.value
            )
            for point in parsed.points
        ]

    def _log_change(self, command: CustomCollector, problem: str) -> None:
        """Log a problem when it is new, and the end of the last one."""
        before = self._problems.get(command, "")
        self._problems[command] = problem
        if problem and problem != before:
            log.warning("collector %s: %s", command.name, problem)
        elif before and not problem:
            log.info("collector %s works again", command.name)


async def execute(command: CustomCollector) -> bytes:
    """Run a collector and return its output, cut off soon after the limit.

    Raises:
        CollectorError: the collector failed or timed out.
    """
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", 0) as pipe:
        # asyncio's own pipe is not used: asyncio waits until it is closed, and a process that the
        # collector left behind can keep it open.
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *command.argv,
                stdin=DEVNULL,
                stdout=writing,
                stderr=DEVNULL,
                start_new_session=True,
                cwd="/",
                env=ENVIRONMENT,
            )
        )
        starting.add_done_callback(lambda _: os.close(writing))
        try:
            # A cancellation must not lose the process while it starts.
            process = await asyncio.shield(starting)
            output, code = await asyncio.wait_for(_read_output(process, pipe), command.timeout)
        except asyncio.TimeoutError:
            raise CollectorError(
                f"it was killed because it ran longer than its timeout of {command.timeout:g} s"
            ) from None
        finally:
            # A second cancellation must not leave the process behind.
            await finish(_kill(starting))
    if code and len(output) <= OUTPUT_LIMIT:
        raise CollectorError(f"it failed with exit code {code}; its output is ignored")
    return output


async def _kill(starting: asyncio.Future[asyncio.subprocess.Process]) -> None:
    process = await starting
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def _read_output(process: asyncio.subprocess.Process, pipe: io.FileIO) -> tuple[bytes, int]:
    """Return the output and the exit code, which is 0 when there is too much output."""
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


def plugins() -> list[CustomCollector]:
    """Return a command for each entry point of the Python packages installed beside the agent."""
    if getattr(sys, "frozen", False):
        # The self-contained build has no packages beside it.
        return []
    from agent.collect.custom import plugin  # noqa: PLC0415  # 1 MB

    return [
        CustomCollector((sys.executable, "-m", "agent.collect.custom.plugin", name), name=name)
        for name in plugin.names()
    ]
