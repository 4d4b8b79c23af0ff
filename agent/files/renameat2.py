"""renameat2(2), which Python does not have."""

import errno
import os
import stat

NOREPLACE = 1  # RENAME_NOREPLACE of linux/fs.h
# The disk, the kernel or the C library does not support the flag.
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


def rename(folder: int, name: str, to_folder: int, to_name: str, *, replace: bool) -> None:
    """Rename; without `replace`, fail atomically if the new name exists.

    Raises:
        OSError: FileExistsError without `replace`, among others.
    """
    if replace:
        os.rename(name, to_name, src_dir_fd=folder, dst_dir_fd=to_folder)
        return
    try:
        _rename_new(folder, name, to_folder, to_name)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _rename_in_two_steps(folder, name, to_folder, to_name)


def _rename_in_two_steps(folder: int, name: str, to_folder: int, to_name: str) -> None:
    """Reserve the new name first, and release it if the second step fails."""
    if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        # The only thing that is replaced is the empty folder that reserves the name.
        os.mkdir(to_name, dir_fd=to_folder)
        try:
            os.rename(name, to_name, src_dir_fd=folder, dst_dir_fd=to_folder)
        except OSError:
            os.rmdir(to_name, dir_fd=to_folder)
            raise
        return
    os.link(name, to_name, src_dir_fd=folder, dst_dir_fd=to_folder, follow_symlinks=False)
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        os.unlink(to_name, dir_fd=to_folder)
        raise


def _rename_new(folder: int, name: str, to_folder: int, to_name: str) -> None:
    import ctypes  # noqa: PLC0415  # 1 MB, only on hosts that use it

    libc = ctypes.CDLL(None, use_errno=True)
    try:
        call = libc.renameat2
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if call(folder, os.fsencode(name), to_folder, os.fsencode(to_name), NOREPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
