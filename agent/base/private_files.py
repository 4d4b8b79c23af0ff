"""Access to files in a folder that another user may own.

Root writes there on behalf of the agent's user, who could have created links or pipes. These
functions follow no link and write into no existing file.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def open_folder(path: Path) -> Iterator[int]:
    """Open a folder for the other functions.

    Raises:
        OSError: The path is a link, or it cannot be opened.
    """
    try:
        folder = os.open(path, _FOLDER)
    except NotADirectoryError:
        raise NotADirectoryError(errno.ENOTDIR, "must be a folder, not a link to one") from None
    try:
        yield folder
    finally:
        os.close(folder)


def open_file(name: str | Path, flags: int, folder: int | None = None) -> int:
    """Return a descriptor of a regular file.

    Raises:
        OSError: The path is not a regular file, or it cannot be opened.
    """
    try:
        descriptor = os.open(name, flags | _FILE, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(
            errno.ELOOP, "is a link, which the agent does not follow; remove it"
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file; remove it")
    return descriptor


def read(folder: int, name: str) -> bytes:
    with os.fdopen(open_file(name, os.O_RDONLY, folder), "rb") as file:
        return file.read()


def write(folder: int, name: str, content: bytes) -> None:
    """Replace the file as a whole, or not at all."""
    # The module secrets would take 0.2 MB for this.
    draft = f".{name}.{os.urandom(16).hex()}"
    descriptor = os.open(draft, _NEW, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if os.geteuid() == 0:
                # Root writes the file for the user that the agent runs as.
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
