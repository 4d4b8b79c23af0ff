"""A fleet in its own process: control of it, and its figures."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.settings import REPOSITORY
from tests.bench.fleet import Figures, Percentiles
from tests.bench.fleet_stack import FleetStack

STOP_SECONDS = 20.0


class FleetError(Exception):
    """The fleet's process has ended, or did not reach the expected state in time."""


@dataclass(slots=True)
class FleetProcess:
    process: asyncio.subprocess.Process
    oracle: Path
    history: list[Figures] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def figures(self) -> Figures:
        return self.history[-1]

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n".encode())

    def mark(self) -> int:
        """Start to count agents with a durable sample from now on; return the mark in ms."""
        time_ms = time.time_ns() // 1_000_000
        self.tell(f"mark {time_ms}")
        return time_ms

    async def until(
        self, check: Callable[[Figures], bool], *, seconds: float, otherwise: str
    ) -> Figures:
        """Return the first figures from now on for which `check` is true.

        Raises:
            FleetError: none came in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._news.clear()
                    await self._news.wait()
                    if self.process.returncode is not None:
                        raise FleetError(f"the fleet ended with {self.process.returncode}")
                    if check(self.figures):
                        return self.figures
        except TimeoutError:
            last = self.history[-1] if self.history else None
            raise FleetError(f"{otherwise} within {seconds:.0f} s: {last}") from None

    async def fresh(self, mark_ms: int, *, seconds: float) -> float | None:
        """Return the seconds until every agent had a durable sample since the mark; None if too late."""
        begin = time.monotonic()
        try:
            await self.until(
                lambda figures: figures.mark_ms == mark_ms and figures.fresh >= figures.agents,
                seconds=seconds,
                otherwise="not every agent had a fresh sample",
            )
        except FleetError:
            return None
        return time.monotonic() - begin

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            told = json.loads(line)
            for name in ("accepted_after", "durable_after"):
                told[name] = None if told[name] is None else Percentiles(**told[name])
            self.history.append(Figures(**told))
            self._news.set()
        await self.process.wait()
        self._news.set()


@asynccontextmanager
async def running(
    stack: FleetStack, oracle: Path, *, agents: int, **options: object
) -> AsyncIterator[FleetProcess]:
    """`options` are options of the command line, such as `replay_after` for `--replay-after`."""
    command = [sys.executable, str(REPOSITORY / "tests/bench/fleet.py")]
    words: dict[str, object] = {
        "state": stack.settings.state,
        "secret": stack.secret,
        "oracle": oracle,
        "agents": agents,
        **options,
    }
    for name, value in words.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    fleet = FleetProcess(process, oracle)
    listening = asyncio.create_task(fleet.listen())
    try:
        yield fleet
    finally:
        if process.returncode is None:
            with suppress(ConnectionError):
                fleet.tell("stop")
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await listening
        except TimeoutError:
            process.send_signal(signal.SIGKILL)
            await listening
