"""A host to install on: this machine with private /etc, /opt, /var/lib and others.

An installation there does not affect the machine and disappears with the host.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Accounts are created in the copy of /etc. /run is empty, so programs find no systemd.
PREPARE = """
set -eu
mkdir /tmp/flotilla-host-etc.$$
mount -t tmpfs tmpfs /tmp/flotilla-host-etc.$$
cp -a /etc/. /tmp/flotilla-host-etc.$$
mount --bind /tmp/flotilla-host-etc.$$ /etc
umount /tmp/flotilla-host-etc.$$
rmdir /tmp/flotilla-host-etc.$$
for folder in /opt /var/lib /var/log /run /tmp; do
    mount -t tmpfs -o mode=1777 tmpfs "$folder"
done
echo ready
exec cat
"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow")


@dataclass(frozen=True, slots=True)
class Host:
    pid: int

    def sh(
        self, script: str, *, words: str | None = None, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._entered("sh", "-c", script),
            env={"PATH": PATH},
            input=words or "",
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    @contextmanager
    def running(self, command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._entered("sh", "-c", f"exec {command}"),
                env={"PATH": PATH},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)

    def text(self, path: str) -> str:
        return self._inside(path).read_text()

    def write(self, path: str, text: str) -> None:
        file = self._inside(path)
        file.unlink(missing_ok=True)
        file.write_text(text)

    def left(self) -> set[str]:
        """List the files in the folders that an installation changes, and the lines of the accounts."""
        files = self.sh("find /etc /opt /var/lib /var/log /run /tmp -xdev").stdout.splitlines()
        lines = {f"{path}: {line}" for path in ACCOUNTS for line in self.text(path).splitlines()}
        return {*files, *lines}

    def _inside(self, path: str) -> Path:
        return Path(f"/proc/{self.pid}/root{path}")

    def _entered(self, *command: str) -> list[str]:
        return ["nsenter", "--mount", "--uts", "--target", str(self.pid), "--", *command]


@contextmanager
def private_host() -> Iterator[Host]:
    process = subprocess.Popen(
        ["unshare", "--mount", "--uts", "--propagation", "private", "sh", "-c", PREPARE],
        env={"PATH": PATH},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield Host(process.pid)
        finally:
            process.stdin.close()
            process.wait(10)
