import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil


@contextlib.contextmanager
def procfs(path: Path) -> Iterator[None]:
    """Let psutil read the /proc of `path`."""
    before, psutil.PROCFS_PATH = psutil.PROCFS_PATH, str(path)
    try:
        yield
    finally:
        psutil.PROCFS_PATH = before
