"""The context of the figures: machine, revision, command."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import psutil

from deploy.local.settings import REPOSITORY


@dataclass(frozen=True, slots=True)
class Surroundings:
    date: str
    revision: str
    command: str
    cores: int
    memory_bytes: int
    cpu_model: str
    kernel: str
    system: str
    python: str


def look() -> Surroundings:
    return Surroundings(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        revision=_revision(),
        command=shlex.join(["python", "tests/bench/run.py", *sys.argv[1:]]),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        cpu_model=_cpu_model(),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        system=platform.freedesktop_os_release()["PRETTY_NAME"],
        python=platform.python_version(),
    )


def _revision() -> str:
    """Return the revision, with `+changes` if the work tree has uncommitted changes."""
    told = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+changes"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return told.stdout.strip() or "unknown"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return "unknown"
