"""Folders with all that is in them."""

import os
import stat
from collections.abc import Callable

from agent.execute import failure
from agent.execute.files.entries import version
from agent.execute.files.ground import mount_id
from agent.execute.files.reasons import explained
from agent.execute.files.tree import ITSELF, Pinned, Place, Tree, outward, reading
from flotilla.v1.command_pb2 import FileAction

DEPTH_LIMIT = 64  # folders in folders, each of which needs open descriptors
# Its folder, name and status, and a path for people.
Visit = Callable[[int, str, os.stat_result, str], None]


def delete(tree: Tree, action: FileAction) -> None:
    """Raises: CommandFailedError: before anything is gone, where that can be known."""
    with tree.place(action.path, follow=False) as place:
        refuse_root(place)
        with tree.pin(place) as there:
            if action.version and version(there.status) != action.version:
                raise failure.conflict(f"{action.path} was changed meanwhile; look again")
            if there.is_folder and action.recursive:
                refuse_mounted(place, there)
                check_whole(tree, there.descriptor, there.status, action.path)
        with explained(action.path):
            if action.recursive:
                remove(tree, place.folder, place.name, action.path)
            elif there.is_folder:
                os.rmdir(place.name, dir_fd=place.folder)
            else:
                os.unlink(place.name, dir_fd=place.folder)


def refuse_root(place: Place) -> None:
    if place.name == ITSELF:
        raise failure.forbidden(
            f"{place.path} is a folder that the host's policy names; it stays where it is"
        )


def refuse_mounted(place: Place, there: Pinned) -> None:
    """What is in a mounted disk is not in the folder that it is mounted at."""
    if mount_id(place.folder) != mount_id(there.descriptor):
        raise _mounted(place.path)


def check_whole(tree: Tree, folder: int, status: os.stat_result, path: str) -> None:
    """Raises: CommandFailedError: something in it is never touched, or is mounted there."""
    tree.ground.check_whole(status, path)

    def check(_folder: int, _name: str, status: os.stat_result, inside: str) -> None:
        tree.ground.check(status, inside)

    visit(tree, folder, path, check)


def remove(tree: Tree, folder: int, name: str, path: str) -> None:
    """A thing with all that is in it."""
    with explained(path):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            with tree.inside(folder, name, path) as child:
                visit(tree, child, path, _remove)
        _remove(folder, name, status, path)


def _remove(folder: int, name: str, status: os.stat_result, path: str) -> None:
    with explained(path):
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def visit(tree: Tree, folder: int, path: str, each: Visit) -> None:
    """Call `each` for everything in a folder, for what is in a folder before that itself.

    Raises:
        CommandFailedError: another file system is mounted in it, among others.
    """
    _visit(tree, folder, path, each, mount=mount_id(folder), depth=1)


def _visit(tree: Tree, folder: int, path: str, each: Visit, *, mount: int, depth: int) -> None:
    if mount_id(folder) != mount:
        raise _mounted(path)
    if depth > DEPTH_LIMIT:
        raise failure.invalid(f"{path} lies more than {DEPTH_LIMIT} folders deep")
    with explained(path), reading(folder) as descriptor, os.scandir(descriptor) as items:
        for item in items:
            tree.go_on()
            inside = f"{path.rstrip('/')}/{outward(item.name)}"
            status = os.stat(item.name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                with tree.inside(folder, item.name, inside) as child:
                    _visit(tree, child, inside, each, mount=mount, depth=depth + 1)
            each(folder, item.name, status, inside)


def _mounted(path: str) -> failure.CommandFailedError:
    return failure.conflict(f"{path} is mounted there: it would have to be unmounted first")
