"""What the kernel refuses, in words for the person who asked."""

import contextlib
import errno
import os
from collections.abc import Iterator

from agent.execute import failure
from agent.execute.failure import CommandFailedError

DISK_FULL = "the disk is full there; free some space and try again"

_FAILURES = {
    errno.ENOENT: (failure.not_found, "there is no {path}"),
    errno.ENOTDIR: (failure.not_found, "there is no {path}: a part of it is not a folder"),
    errno.EEXIST: (failure.conflict, "{path} is there already"),
    errno.ENOTEMPTY: (failure.conflict, "the folder {path} is not empty"),
    errno.EISDIR: (failure.conflict, "{path} is a folder"),
    errno.EBUSY: (failure.conflict, "{path} is in use: something is mounted there"),
    errno.ETXTBSY: (failure.conflict, "{path} is a program that runs just now"),
    errno.ENAMETOOLONG: (failure.invalid, "the name {path} is too long for that disk"),
    errno.EINVAL: (failure.invalid, "that disk does not allow this of {path}"),
    errno.EFBIG: (failure.too_large, "{path} would be larger than that disk allows"),
    errno.ENOSPC: (failure.unavailable, DISK_FULL),
    errno.EDQUOT: (failure.unavailable, DISK_FULL),
    errno.EROFS: (failure.unavailable, "the disk that holds {path} is mounted read-only"),
}


def explain(error: OSError, path: str) -> CommandFailedError:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return failure.forbidden(f"the agent's user (id {os.geteuid()}) may not do this to {path}")
    make, text = _FAILURES.get(
        error.errno or 0, (failure.unavailable, f"{{path}}: {error.strerror or error}")
    )
    return make(text.format(path=path))


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Raises: CommandFailedError: instead of an OSError."""
    try:
        yield
    except OSError as error:
        raise explain(error, path) from None
