"""Deletion of files, and of folders with everything in them."""

import os
import stat
from collections.abc import Callable

from agent.commands.errors import CommandFailedError, conflict, forbidden, invalid
from agent.files.listing import file_version
from agent.files.names import CURRENT_FOLDER, join
from agent.files.os_errors import translate_os_errors
from agent.files.protected_paths import mount_id
from agent.files.safe_path import Handle, Place, SafeFileSystem, open_for_reading
from flotilla.v1.command_pb2 import FileAction

DEPTH_LIMIT = 64  # folders in folders; each level needs open descriptors
# Called with the folder, the name, its status, and its path for messages.
Visitor = Callable[[int, str, os.stat_result, str], None]


def delete(fs: SafeFileSystem, action: FileAction) -> None:
    """Raises: CommandFailedError: as far as possible before anything is deleted."""
    with fs.place(action.path, follow=False) as place:
        check_not_root(place)
        with fs.handle(place) as found:
            if action.version and file_version(found.status) != action.version:
                raise conflict(
                    f"{action.path} was changed since it was listed. Look at it again before you"
                    " delete it."
                )
            if found.is_folder and action.recursive:
                check_not_mount_point(place, found)
                check_contents(fs, found)
        with translate_os_errors(action.path):
            if action.recursive:
                remove_all(fs, place.folder, place.name, action.path)
            elif found.is_folder:
                os.rmdir(place.name, dir_fd=place.folder)
            else:
                os.unlink(place.name, dir_fd=place.folder)


def check_not_root(place: Place) -> None:
    """Raises: CommandFailedError: this is a folder that the policy names."""
    if place.name == CURRENT_FOLDER:
        raise forbidden(
            f"{place.path} is a folder in the policy of this server, so it cannot be deleted or"
            " renamed."
        )


def check_not_mount_point(place: Place, found: Handle) -> None:
    """Raises: CommandFailedError: another disk is mounted at this folder."""
    if mount_id(place.folder) != mount_id(found.descriptor):
        raise _mounted(place.path)


def check_contents(fs: SafeFileSystem, folder: Handle) -> None:
    """Raises: CommandFailedError: the folder contains a protected file or a mount point."""
    fs.protected.check_contents(folder.status, folder.path)

    def check(_folder: int, _name: str, status: os.stat_result, path: str) -> None:
        fs.protected.check(status, path)

    visit(fs, folder.descriptor, folder.path, check)


def remove_all(fs: SafeFileSystem, folder: int, name: str, path: str) -> None:
    """Remove a file, or a folder with everything in it."""
    with translate_os_errors(path):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            with fs.open_subfolder(folder, name, path) as child:
                visit(fs, child, path, _remove)
        _remove(folder, name, status, path)


def _remove(folder: int, name: str, status: os.stat_result, path: str) -> None:
    with translate_os_errors(path):
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def visit(fs: SafeFileSystem, folder: int, path: str, visitor: Visitor) -> None:
    """Call `visitor` for everything in a folder, and for its contents before a folder itself.

    Raises:
        CommandFailedError: another file system is mounted in the folder, among others.
    """
    _visit(fs, folder, path, visitor, mount=mount_id(folder), depth=1)


def _visit(
    fs: SafeFileSystem, folder: int, path: str, visitor: Visitor, *, mount: int, depth: int
) -> None:
    if mount_id(folder) != mount:
        raise _mounted(path)
    check_depth(path, depth)
    with (
        translate_os_errors(path),
        open_for_reading(folder) as descriptor,
        os.scandir(descriptor) as items,
    ):
        for item in items:
            fs.check_cancelled()
            item_path = join(path, item.name)
            status = os.stat(item.name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                with fs.open_subfolder(folder, item.name, item_path) as child:
                    _visit(fs, child, item_path, visitor, mount=mount, depth=depth + 1)
            visitor(folder, item.name, status, item_path)


def check_depth(path: str, depth: int) -> None:
    """Raises: CommandFailedError: the path is too deep for this action."""
    if depth > DEPTH_LIMIT:
        raise invalid(f"{path} is more than {DEPTH_LIMIT} folders deep, which is the limit.")


def _mounted(path: str) -> CommandFailedError:
    return conflict(f"A disk is mounted at {path}. Unmount it first.")
