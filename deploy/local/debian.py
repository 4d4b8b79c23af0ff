"""A private Debian 13 root that carries PostgreSQL 17 with TimescaleDB.

Debian packages TimescaleDB from release 13 on. The root is made once for the machine, by
debootstrap, and shared by every checkout: PostgreSQL only reads it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from deploy.local.waiting import StackError, alone

RELEASE = "trixie"
PACKAGE = "postgresql-17-timescaledb"
# A number of its own: inside a fresh root `postgres` is 100, which on the host is somebody else.
POSTGRES_ID = 59432

APT_INSTALL = Path(__file__).with_name("apt-install.sh")
BUILD_SECONDS = 1200
NOT_NEEDED = (
    "usr/lib/llvm-*",
    "usr/lib/postgresql/*/lib/bitcode",
    "usr/lib/postgresql/*/lib/llvmjit*",
    "usr/lib/x86_64-linux-gnu/libLLVM*",
    "usr/lib/aarch64-linux-gnu/libLLVM*",
    "usr/share/doc",
    "usr/share/i18n",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt/*",
    "var/cache/debconf/*-old",
    "var/lib/apt/lists/*",
    "var/lib/postgresql/*",
    "var/log/*",
)


def cache() -> Path:
    return Path(os.environ.get("FLOTILLA_CACHE", "/var/cache/flotilla"))


def private_root() -> Path:
    """The cached root, made now if this machine has none."""
    recipe = hashlib.sha256(repr((POSTGRES_ID, NOT_NEEDED)).encode()).hexdigest()[:8]
    root = cache() / f"{RELEASE}-{PACKAGE}-{recipe}"
    if root.is_dir():
        return root
    if os.geteuid() != 0:
        raise StackError(
            "A private TimescaleDB needs root to be made and entered. Run as root, or set "
            "DATABASE_URL to a PostgreSQL that has the timescaledb extension."
        )
    cache().mkdir(parents=True, exist_ok=True)
    with alone(cache() / "lock", seconds=BUILD_SECONDS):
        if not root.is_dir():
            _build(root)
    return root


def _build(root: Path) -> None:
    if shutil.which("debootstrap") is None:
        subprocess.run([APT_INSTALL, "debootstrap", "debian-archive-keyring"], check=True)
    for leftover in cache().glob(".building-*"):
        shutil.rmtree(leftover)
    building = cache() / f".building-{root.name}"
    log = cache() / f"{root.name}.log"
    started = time.monotonic()
    print(f"  making a private Debian {RELEASE} with {PACKAGE} (once, about a minute)", flush=True)
    command = [
        "debootstrap",
        "--variant=minbase",
        f"--include={PACKAGE}",
        "--exclude=locales-all",
        RELEASE,
        str(building),
        *_mirror(),
    ]
    with log.open("w") as output:
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=BUILD_SECONDS,
                check=True,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
            raise StackError(f"debootstrap failed; see {log}") from failure
    _own_user(building)
    _trim(building)
    building.rename(root)
    print(f"  made {root} in {time.monotonic() - started:.0f} s", flush=True)


def _mirror() -> list[str]:
    """The first of this machine's own apt sources that carries the release.

    None of them does on Ubuntu; debootstrap then takes its default.
    """
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    for uri in dict.fromkeys(listed.stdout.split()):
        if not uri.startswith(("http://", "https://")):
            continue
        try:
            with urllib.request.urlopen(f"{uri}dists/{RELEASE}/Release", timeout=15):  # noqa: S310 -- http only, above
                return [uri]
        except (urllib.error.URLError, TimeoutError):
            continue
    return []


def _own_user(root: Path) -> None:
    for name, fields in (("passwd", (2, 3)), ("group", (2,))):
        path = root / "etc" / name
        lines = [line.split(":") for line in path.read_text().splitlines()]
        for line in lines:
            if line[0] == "postgres":
                for field in fields:
                    line[field] = str(POSTGRES_ID)
        path.write_text("".join(":".join(line) + "\n" for line in lines))


def _trim(root: Path) -> None:
    """Leave out what PostgreSQL never opens: two thirds of the size."""
    for pattern in NOT_NEEDED:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for locale in (root / "usr/lib/locale").iterdir():
        if locale.name != "C.utf8":
            shutil.rmtree(locale)
