"""Resident memory of each idle service, and the processor time of `flotilla --help`."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local import processes
from deploy.local.settings import Settings
from services.kit.services import SERVICES
from tests.bench import own_stack
from tests.bench.processes import Use, watch

SECONDS = 15.0
HELP_RUNS = 5
HELP_BOUND = 0.3  # seconds of processor time


@dataclass(frozen=True, slots=True)
class Idle:
    services: Mapping[str, Use | None]
    help_cpu_seconds: float
    """Return user and system time of `flotilla --help`: the minimum of several runs."""

    @property
    def within_bounds(self) -> bool:
        return self.help_cpu_seconds < HELP_BOUND


async def measure(settings: Settings) -> Idle:
    """Measure the services of a stack whose agent is stopped."""
    processes.stop_program(own_stack.supervisor(settings), "agent")
    pids = own_stack.pids(settings)
    used = await watch({name: pids[name] for name in SERVICES}, SECONDS)
    return Idle(services=used, help_cpu_seconds=min(_help() for _ in range(HELP_RUNS)))


def _help() -> float:
    command = [str(Path(sys.executable).with_name("flotilla")), "--help"]
    before = _children()
    subprocess.run(command, stdout=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]}, check=True)
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
