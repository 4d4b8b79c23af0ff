"""A Docker engine of the tests' own, on a socket in a temporary folder."""

import contextlib
import dataclasses
import io
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE = 30.0  # seconds
IMAGE = "flotilla-test:1"
TOOLS = ("sh", "sleep", "dd", "wget")


@dataclasses.dataclass
class Engine:
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    def docker(self, *words: str, content: bytes | None = None) -> str:
        done = subprocess.run(
            ["docker", "-H", f"unix://{self.socket}", *words],
            input=content,
            capture_output=True,
            check=True,
            timeout=PATIENCE,
        )
        return done.stdout.decode().strip()

    def start(self) -> None:
        nothing = self.folder / "daemon.json"
        nothing.write_text("{}")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    "dockerd",
                    f"--config-file={nothing}",
                    f"--data-root={self.folder / 'data'}",
                    f"--exec-root={self.folder / 'exec'}",
                    f"--pidfile={self.folder / 'pid'}",
                    f"--host=unix://{self.socket}",
                    "--iptables=false",
                    "--ip-masq=false",
                    "--storage-driver=vfs",
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + PATIENCE
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                tail = (self.folder / "log").read_text().splitlines()[-1:]
                pytest.skip(f"no Docker engine can be started here: {tail}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.docker("version")
            return True
        return False

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(PATIENCE)
        self.process = None


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    missing = [tool for tool in ("dockerd", "docker", "busybox") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"no Docker engine can be started here without {', '.join(missing)}")
    started = Engine(folder)
    started.start()
    try:
        started.docker("import", "-", IMAGE, content=_root())
        yield started
        for container in started.docker("ps", "--all", "--quiet").split():
            started.docker("rm", "--force", container)
    finally:
        started.stop()


def _root() -> bytes:
    """A file system of one static program."""
    busybox = shutil.which("busybox")
    assert busybox
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(os.path.realpath(busybox), "bin/busybox")
        for tool in TOOLS:
            link = tarfile.TarInfo(f"bin/{tool}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return packed.getvalue()
