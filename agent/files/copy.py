"""Copies of files and folders, made with open descriptors only."""

import contextlib
import errno
import os

from agent.commands.errors import conflict, forbidden, invalid
from agent.files.delete import check_depth
from agent.files.names import join
from agent.files.os_errors import translate_os_errors
from agent.files.protected_paths import Inode, inode
from agent.files.safe_path import Handle, Place, SafeFileSystem, open_for_reading

BLOCK = 8 * 1024 * 1024  # bytes
SET_ID_BITS = 0o6000  # setuid and setgid
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# The kernel cannot copy between these two files by itself.
_NOT_COPIED_BY_KERNEL = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
# The kernel sets this attribute for the content of a file, its owner does not.
_CONTENT_ATTRIBUTE = "security.capability"


class Copier:
    """Makes one copy.

    With `exact`, the copy can replace the original: owners and times are copied too, and the copy
    is synced to the disk.
    """

    def __init__(self, fs: SafeFileSystem, *, exact: bool) -> None:
        self._fs = fs
        self._exact = exact
        self._top: Inode | None = None  # the first folder of the copy

    def copy(self, source: Place, target: Place, depth: int = 1) -> None:
        self._fs.check_cancelled()
        check_depth(source.path, depth)
        with self._fs.handle(source) as old:
            if old.is_folder:
                self._copy_folder(old, target, depth)
            elif old.is_file:
                self._copy_file(old, target)
            elif old.is_link:
                self._copy_link(old, target)
            else:
                raise invalid(f"{source.path} is a device, socket or pipe, which cannot be copied.")

    def _copy_folder(self, old: Handle, target: Place, depth: int) -> None:
        if inode(old.status) == self._top:
            raise invalid("A folder cannot be copied into itself.")
        with translate_os_errors(target.path):
            os.mkdir(target.name, 0o700, dir_fd=target.folder)
        with self._fs.handle(target) as new, open_for_reading(new.descriptor) as into:
            self._top = self._top or inode(new.status)
            with open_for_reading(old.descriptor) as folder, os.scandir(folder) as items:
                for item in items:
                    self.copy(
                        Place(folder, item.name, join(old.path, item.name)),
                        Place(into, item.name, target.path),
                        depth + 1,
                    )
            self._finish(into, old)

    def _copy_file(self, old: Handle, target: Place) -> None:
        with contextlib.ExitStack() as stack:
            source = old.open(os.O_RDONLY)
            stack.callback(os.close, source)
            with translate_os_errors(target.path):
                new = os.open(target.name, NEW_FILE, 0o600, dir_fd=target.folder)
                stack.callback(os.close, new)
                self._copy_content(source, new)
                self._finish(new, old)

    def _copy_link(self, old: Handle, target: Place) -> None:
        with translate_os_errors(target.path):
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
                if self._exact:
                    raise

    def _copy_content(self, source: int, new: int) -> None:
        """Copy the data of a file; holes stay holes."""
        size = os.fstat(source).st_size
        end = 0
        while end < size:
            try:
                start = os.lseek(source, end, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:  # only a hole is left
                    raise
                break
            end = os.lseek(source, start, os.SEEK_HOLE)
            while start < end:
                self._fs.check_cancelled()
                copied = _copy_block(source, new, start, min(BLOCK, end - start))
                if not copied:
                    raise conflict("A file became shorter while it was copied. Try again.")
                start += copied
        os.ftruncate(new, size)

    def _finish(self, new: int, old: Handle) -> None:
        copy_attributes(old, new, exact=self._exact)
        if self._exact:
            os.utime(new, ns=(old.status.st_atime_ns, old.status.st_mtime_ns))
            os.fsync(new)


def copy_attributes(old: Handle, descriptor: int, *, exact: bool) -> None:
    """Copy owner, mode, access lists and labels to an open file.

    Raises:
        CommandFailedError: with `exact`, the agent's user cannot set the owner.
    """
    status, own = old.status, os.fstat(descriptor)
    mode = status.st_mode & 0o7777
    if (status.st_uid, status.st_gid) != (own.st_uid, own.st_gid):
        try:
            os.fchown(descriptor, status.st_uid, status.st_gid)
        except PermissionError:
            if exact:
                raise forbidden(
                    f"The agent's user (id {os.geteuid()}) cannot keep the owner of {old.path}."
                ) from None
            mode &= ~SET_ID_BITS
    # Set the mode after the owner: changing the owner clears some bits.
    os.fchmod(descriptor, mode)
    with contextlib.suppress(OSError):
        for name in os.listxattr(old.proc_path):
            if name != _CONTENT_ATTRIBUTE:
                with contextlib.suppress(OSError):
                    os.setxattr(descriptor, name, os.getxattr(old.proc_path, name))


def _copy_block(source: int, new: int, offset: int, length: int) -> int:
    """Return the number of bytes that were copied."""
    try:
        return os.copy_file_range(source, new, length, offset, offset)
    except OSError as error:
        if error.errno not in _NOT_COPIED_BY_KERNEL:
            raise
    return os.pwrite(new, os.pread(source, min(length, 1024 * 1024), offset), offset)
