"""A private Debian 13 root with PostgreSQL 17 and TimescaleDB.

Debian has packages of TimescaleDB since release 13. The root is created once per machine with
debootstrap, and all checkouts share it, because PostgreSQL only reads it.
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
# In a new root, `postgres` has the id 100, which is another user on the host.
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
    """Return the cached root; create it if this machine has none."""
    recipe = hashlib.sha256(repr((POSTGRES_ID, NOT_NEEDED)).encode()).hexdigest()[:8]
    root = cache() / f"{RELEASE}-{PACKAGE}-{recipe}"
    if root.is_dir():
        return root
    if os.geteuid() != 0:
        raise StackError(
            "Only root can create and enter a private TimescaleDB. Run this as root, or set"
            " DATABASE_URL to a PostgreSQL with the timescaledb extension."
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
    print(
        f"  creating a private Debian {RELEASE} with {PACKAGE} (once, about a minute)", flush=True
    )
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
            raise StackError(f"debootstrap failed. See {log}.") from failure
    _own_user(building)
    _trim(building)
    building.rename(root)
    print(f"  created {root} in {time.monotonic() - started:.0f} s", flush=True)


def _mirror() -> list[str]:
    """Return the first apt source of this machine that has the release, as a list of one.

    On Ubuntu no source has it. Then the list is empty, and debootstrap uses its default.
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
    """Delete files that PostgreSQL never opens, two thirds of the size."""
    for pattern in NOT_NEEDED:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for locale in (root / "usr/lib/locale").iterdir():
        if locale.name != "C.utf8":
            shutil.rmtree(locale)
