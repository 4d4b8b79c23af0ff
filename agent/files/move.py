"""New folders, renames and copies."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from agent.commands.errors import conflict, invalid
from agent.files import delete, renameat2
from agent.files.copy import Copier
from agent.files.listing import entry_at
from agent.files.names import CURRENT_FOLDER
from agent.files.os_errors import translate_os_errors
from agent.files.partial_uploads import already_exists, sync_folder, temporary_name
from agent.files.protected_paths import inode
from agent.files.safe_path import Place, SafeFileSystem
from flotilla.v1.command_pb2 import FileAction, FileEntry

FOLDER_MODE = 0o755


def make_directory(fs: SafeFileSystem, action: FileAction) -> FileEntry:
    with fs.place(action.path, follow=False) as place:
        if place.name == CURRENT_FOLDER:
            raise already_exists(action.path)
        with translate_os_errors(action.path):
            os.mkdir(place.name, FOLDER_MODE, dir_fd=place.folder)
        with fs.handle(place) as made, translate_os_errors(action.path):
            made.proc_path.chmod(FOLDER_MODE)  # mkdir applies the umask
        return entry_at(fs, place)


def rename(fs: SafeFileSystem, action: FileAction) -> FileEntry:
    """Move a file or folder to any place in the policy's folders, also on another disk."""
    with _source_and_target(fs, action) as (source, target):
        delete.check_not_root(source)
        with fs.handle(source) as found:
            if found.is_folder:
                fs.protected.check_contents(found.status, action.path)
                with translate_os_errors(action.destination):
                    _check_not_inside(target.folder, found.status)
        with translate_os_errors(action.destination):
            try:
                renameat2.rename(
                    source.folder,
                    source.name,
                    target.folder,
                    target.name,
                    replace=action.overwrite,
                )
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _move_to_other_disk(fs, source, target, replace=action.overwrite)
        sync_folder(target.folder)
        return entry_at(fs, target)


def _check_not_inside(folder: int, moved: os.stat_result) -> None:
    """Raises: CommandFailedError: `folder` is the folder that is to be moved, or is in it."""
    current = os.dup(folder)
    try:
        below = None
        while (here := inode(os.fstat(current))) != below:
            if here == inode(moved):
                raise invalid("A folder cannot be moved into itself.")
            below = here
            above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=current)
            os.close(current)
            current = above
    finally:
        os.close(current)


def copy(fs: SafeFileSystem, action: FileAction) -> FileEntry:
    """Copy a file or folder; a link stays a link."""
    with _source_and_target(fs, action) as (source, target):
        _copy_to(fs, source, target, replace=action.overwrite, exact=False)
        return entry_at(fs, target)


def _move_to_other_disk(fs: SafeFileSystem, source: Place, target: Place, *, replace: bool) -> None:
    with fs.handle(source) as found:
        if found.is_folder:
            delete.check_not_mount_point(source, found)
            delete.check_contents(fs, found)
    _copy_to(fs, source, target, replace=replace, exact=True)
    delete.remove_all(fs, source.folder, source.name, source.path)


def _copy_to(
    fs: SafeFileSystem, source: Place, target: Place, *, replace: bool, exact: bool
) -> None:
    """Copy to a temporary name first, so that the target is complete or does not exist."""
    if target.stat() is not None and not replace:
        raise already_exists(target.path)
    with temporary_name(fs, target) as temporary, translate_os_errors(target.path):
        Copier(fs, exact=exact).copy(source, Place(target.folder, temporary, target.path))
        renameat2.rename(target.folder, temporary, target.folder, target.name, replace=replace)
        sync_folder(target.folder)


@contextlib.contextmanager
def _source_and_target(fs: SafeFileSystem, action: FileAction) -> Iterator[tuple[Place, Place]]:
    """Raises: CommandFailedError: the target exists and cannot be replaced by the source."""
    with (
        fs.place(action.path, follow=False) as source,
        fs.place(action.destination, follow=False) as target,
    ):
        if target.name == CURRENT_FOLDER:
            raise already_exists(action.destination)
        old, new = target.stat(), source.stat()
        if old is not None and new is not None and action.overwrite:
            fs.protected.check(old, action.destination)
            fs.protected.check_contents(old, action.destination)
            if stat.S_ISDIR(old.st_mode) != stat.S_ISDIR(new.st_mode):
                raise conflict(
                    f"{action.destination} exists already. A folder and a file cannot replace each"
                    " other."
                )
        yield source, target
