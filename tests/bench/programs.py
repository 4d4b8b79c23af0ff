"""Other agents, installed if the machine does not have them.

Nothing is installed: Debian packages are unpacked into .cache, so that no service starts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.settings import REPOSITORY

CACHE = REPOSITORY / ".cache"
PACKAGES = CACHE / "bench-packages"
VENV = CACHE / "bench-venv"
REQUIREMENTS = REPOSITORY / "requirements/bench.txt"
SECONDS = 600


class MissingProgramError(Exception):
    """A program is not available. The text is shown in its row of the table."""


def from_debian(package: str, path: str) -> Path:
    """Return the program at `path` of a package that is installed or unpacked."""
    own = shutil.which(Path(path).name)
    if own is not None:
        return Path(own)
    program = PACKAGES / package / path
    if not program.exists():
        _unpack(package)
    return program


def from_pypi(name: str) -> Path:
    """Return the program `name` in the benchmark's own virtual environment."""
    program = VENV / "bin" / name
    uv = str(Path(sys.executable).with_name("uv"))
    current = VENV / REQUIREMENTS.name
    if not current.exists() or current.read_bytes() != REQUIREMENTS.read_bytes():
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV))
        target = ("--python", str(VENV / "bin/python"))
        _run(uv, "pip", "install", "--quiet", *target, "--require-hashes", "-r", str(REQUIREMENTS))
        shutil.copy(REQUIREMENTS, current)
    return program


def _unpack(package: str) -> None:
    if shutil.which("apt-get") is None:
        raise MissingProgramError(f"no {package} here, and no apt to fetch it with")
    folder = PACKAGES / package
    building = PACKAGES / f".{package}"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        _run("apt-get", "-qq", "download", package, folder=building)
    except MissingProgramError:
        # Images of machines often contain no package lists.
        _run("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "update")
        _run("apt-get", "-qq", "download", package, folder=building)
    for archive in building.glob("*.deb"):
        _run("dpkg-deb", "--extract", str(archive), str(building))
        archive.unlink()
    building.rename(folder)


def _run(*command: str, folder: Path = REPOSITORY) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingProgramError(str(error)) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise MissingProgramError(f"{Path(command[0]).name} failed: {' '.join(said)}")
    return done.stdout
