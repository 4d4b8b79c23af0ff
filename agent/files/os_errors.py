"""Errors of the kernel, translated into reasons why a command failed."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator

from agent.commands.errors import (
    CommandFailedError,
    conflict,
    forbidden,
    invalid,
    not_found,
    too_large,
    unavailable,
)

DISK_FULL = "The disk is full. Free some space on the server and try again."

_FAILURES: dict[int, tuple[Callable[[str], CommandFailedError], str]] = {
    errno.ENOENT: (not_found, "There is no {path}."),
    errno.ENOTDIR: (not_found, "There is no {path}: a part of the path is not a folder."),
    errno.EEXIST: (conflict, "{path} exists already."),
    errno.ENOTEMPTY: (conflict, "The folder {path} is not empty."),
    errno.EISDIR: (conflict, "{path} is a folder."),
    errno.EBUSY: (conflict, "{path} is in use; something may be mounted there."),
    errno.ETXTBSY: (conflict, "{path} is a running program. Stop it first."),
    errno.ENAMETOOLONG: (invalid, "The name {path} is too long for its disk."),
    errno.EINVAL: (invalid, "The disk does not support this action on {path}."),
    errno.EFBIG: (too_large, "{path} would become larger than its disk allows."),
    errno.ENOSPC: (unavailable, DISK_FULL),
    errno.EDQUOT: (unavailable, DISK_FULL),
    errno.EROFS: (unavailable, "The disk that holds {path} is mounted read-only."),
}


def translate(error: OSError, path: str) -> CommandFailedError:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return forbidden(
            f"The agent's user (id {os.geteuid()}) does not have the permission to do this to"
            f" {path}."
        )
    if error.errno not in _FAILURES:
        return unavailable(f"The action on {path} failed: {error.strerror or error}.")
    make, text = _FAILURES[error.errno]
    return make(text.format(path=path))


@contextlib.contextmanager
def translate_os_errors(path: str) -> Iterator[None]:
    """Raises: CommandFailedError: instead of an OSError in the block."""
    try:
        yield
    except OSError as error:
        raise translate(error, path) from None
