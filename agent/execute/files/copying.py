"""Copies of files and folders, by descriptors alone."""

import contextlib
import errno
import os
import stat

from agent.execute import failure
from agent.execute.files.ground import inode
from agent.execute.files.reasons import explained
from agent.execute.files.removing import DEPTH_LIMIT
from agent.execute.files.tree import Pinned, Place, Tree, outward, reading

BLOCK = 8 * 1024 * 1024  # bytes
SET_ID = stat.S_ISUID | stat.S_ISGID
# That the kernel copies nothing between these two by itself.
_BY_HAND = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
# Set by the kernel for what is in a file, not by its owner.
_OF_CONTENT = "security.capability"


class Copying:
    """One copy; `alike`, it can stand in for the original: owners, times and all, on the disk."""

    def __init__(self, tree: Tree, *, alike: bool) -> None:
        self._tree = tree
        self._alike = alike
        self._first: tuple[int, int] | None = None

    def copy(self, source: Place, target: Place, depth: int = 1) -> None:
        self._tree.go_on()
        if depth > DEPTH_LIMIT:
            raise failure.invalid(f"{source.path} lies more than {DEPTH_LIMIT} folders deep")
        with self._tree.pin(source) as old:
            if old.is_folder:
                self._folder(old, target, depth)
            elif old.is_file:
                self._file(old, target)
            elif stat.S_ISLNK(old.status.st_mode):
                self._link(old, target)
            else:
                raise failure.invalid(
                    f"{source.path} is a device, socket or pipe, which are not copied"
                )

    def _folder(self, old: Pinned, target: Place, depth: int) -> None:
        if inode(old.status) == self._first:
            raise failure.invalid("a folder cannot be copied into itself")
        with explained(target.path):
            os.mkdir(target.name, 0o700, dir_fd=target.folder)
        with self._tree.pin(target) as made, reading(made.descriptor) as into:
            self._first = self._first or inode(made.status)
            with reading(old.descriptor) as folder, os.scandir(folder) as items:
                for item in items:
                    inside = f"{old.path.rstrip('/')}/{outward(item.name)}"
                    self.copy(
                        Place(folder, item.name, inside),
                        Place(into, item.name, target.path),
                        depth + 1,
                    )
            self._finish(into, old)

    def _file(self, old: Pinned, target: Place) -> None:
        with contextlib.ExitStack() as stack:
            source = old.open(os.O_RDONLY)
            stack.callback(os.close, source)
            with explained(target.path):
                made = os.open(
                    target.name,
                    os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
                    0o600,
                    dir_fd=target.folder,
                )
                stack.callback(os.close, made)
                self._bytes(source, made)
                self._finish(made, old)

    def _link(self, old: Pinned, target: Place) -> None:
        with explained(target.path):
            os.symlink(os.readlink("", dir_fd=old.descriptor), target.name, dir_fd=target.folder)
            try:
                os.chown(
                    target.name,
                    old.status.st_uid,
                    old.status.st_gid,
                    dir_fd=target.folder,
                    follow_symlinks=False,
                )
            except PermissionError:
                if self._alike:
                    raise

    def _bytes(self, source: int, made: int) -> None:
        """What is there; holes stay holes."""
        size = os.fstat(source).st_size
        end = 0
        while end < size:
            try:
                start = os.lseek(source, end, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:  # nothing but a hole is left
                    raise
                break
            end = os.lseek(source, start, os.SEEK_HOLE)
            while start < end:
                self._tree.go_on()
                copied = _copy_block(source, made, start, min(BLOCK, end - start))
                if not copied:
                    raise failure.conflict("a file became shorter while it was copied; try again")
                start += copied
        os.ftruncate(made, size)

    def _finish(self, made: int, old: Pinned) -> None:
        take_after(made, old, wholly=self._alike)
        if self._alike:
            os.utime(made, ns=(old.status.st_atime_ns, old.status.st_mtime_ns))
            os.fsync(made)


def take_after(descriptor: int, old: Pinned, *, wholly: bool) -> None:
    """Owner, mode, access lists and labels; not `wholly`, as far as this user may set them.

    Raises:
        CommandFailedError: it may not.
    """
    status, mine = old.status, os.fstat(descriptor)
    mode = stat.S_IMODE(status.st_mode)
    if (status.st_uid, status.st_gid) != (mine.st_uid, mine.st_gid):
        try:
            os.fchown(descriptor, status.st_uid, status.st_gid)
        except PermissionError:
            if wholly:
                raise failure.forbidden(
                    f"the agent's user (id {os.geteuid()}) may not keep the owner of {old.path}"
                ) from None
            mode &= ~SET_ID
    # After the owner, whose change takes some bits away.
    os.fchmod(descriptor, mode)
    with contextlib.suppress(OSError):
        for name in os.listxattr(old.again):
            if name != _OF_CONTENT:
                with contextlib.suppress(OSError):
                    os.setxattr(descriptor, name, os.getxattr(old.again, name))


def _copy_block(source: int, made: int, offset: int, length: int) -> int:
    try:
        return os.copy_file_range(source, made, length, offset, offset)
    except OSError as error:
        if error.errno not in _BY_HAND:
            raise
    return os.pwrite(made, os.pread(source, min(length, 1024 * 1024), offset), offset)
