"""Files in a folder that another user may own.

Root writes there for the agent's user, who may have put links and pipes in the way: nothing is
followed, and nothing that is there already is written into.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """Raises: OSError: it is a link, among others."""
    try:
        folder = os.open(path, _FOLDER)
    except NotADirectoryError:
        raise NotADirectoryError(errno.ENOTDIR, "must be a folder, not a link to one") from None
    try:
        yield folder
    finally:
        os.close(folder)


def take(name: str | Path, flags: int, folder: int | None = None) -> int:
    """A descriptor of a regular file.

    Raises:
        OSError: it is something else, among others.
    """
    try:
        descriptor = os.open(name, flags | _FILE, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "is a link, which is not followed; remove it") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file; remove it")
    return descriptor


def read(folder: int, name: str) -> bytes:
    with os.fdopen(take(name, os.O_RDONLY, folder), "rb") as file:
        return file.read()


def write(folder: int, name: str, content: bytes) -> None:
    """Whole or not at all."""
    draft = f".{name}.{secrets.token_hex(16)}"
    descriptor = os.open(draft, _NEW, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if os.geteuid() == 0:
                # Written by root, it is still for the user that the agent runs as.
                owner = os.fstat(folder)
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        remove(folder, draft)
        raise
    os.fsync(folder)


def remove(folder: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
