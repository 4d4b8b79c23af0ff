"""Making folders, renaming, copying."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from agent.execute import failure
from agent.execute.files import drafts, removing, renaming
from agent.execute.files.copying import Copying
from agent.execute.files.entries import describe, last_name
from agent.execute.files.ground import inode
from agent.execute.files.reasons import explained
from agent.execute.files.tree import ITSELF, Place, Tree
from flotilla.v1.command_pb2 import FileAction, FileEntry

FOLDER_MODE = 0o755


def make_directory(tree: Tree, action: FileAction) -> FileEntry:
    with tree.place(action.path, follow=False) as place:
        if place.name == ITSELF:
            raise failure.conflict(f"{action.path} is there already")
        with explained(action.path):
            os.mkdir(place.name, FOLDER_MODE, dir_fd=place.folder)
        with tree.pin(place) as made, explained(action.path):
            made.again.chmod(FOLDER_MODE)  # whatever the umask
        return described(tree, place)


def rename(tree: Tree, action: FileAction) -> FileEntry:
    """To any place in the folders of the policy; on another disk, by a copy."""
    with _both(tree, action) as (source, place):
        removing.refuse_root(source)
        with tree.pin(source) as there:
            if there.is_folder:
                tree.ground.check_whole(there.status, action.path)
                with explained(action.destination):
                    _refuse_inside(place.folder, there.status)
        with explained(action.destination):
            try:
                renaming.rename(
                    *(source.folder, source.name, place.folder, place.name),
                    replace=action.overwrite,
                )
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _carry(tree, source, place, replace=action.overwrite)
        drafts.sync(place.folder)
        return described(tree, place)


def _refuse_inside(folder: int, moved: os.stat_result) -> None:
    """Raises: CommandFailedError: a folder that is to be moved is this one, or above it."""
    here = os.dup(folder)
    try:
        below = None
        while (status := inode(os.fstat(here))) != below:
            if status == inode(moved):
                raise failure.invalid("a folder cannot be moved into itself")
            below = status
            above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = above
    finally:
        os.close(here)


def copy(tree: Tree, action: FileAction) -> FileEntry:
    """A link stays a link."""
    with _both(tree, action) as (source, place):
        _copy_to(tree, source, place, replace=action.overwrite, alike=False)
        return described(tree, place)


def described(tree: Tree, place: Place) -> FileEntry:
    with tree.pin(place) as made:
        entry = describe("", made.status)
    entry.name = last_name(place.path)
    return entry


def _carry(tree: Tree, source: Place, place: Place, *, replace: bool) -> None:
    with tree.pin(source) as there:
        if there.is_folder:
            removing.refuse_mounted(source, there)
            removing.check_whole(tree, there.descriptor, there.status, source.path)
    _copy_to(tree, source, place, replace=replace, alike=True)
    removing.remove(tree, source.folder, source.name, source.path)


def _copy_to(tree: Tree, source: Place, place: Place, *, replace: bool, alike: bool) -> None:
    """Beside its place first, so that it is there whole or not at all."""
    if place.look() is not None and not replace:
        raise failure.conflict(f"{place.path} is there already")
    with drafts.scratch(tree, place) as draft, explained(place.path):
        Copying(tree, alike=alike).copy(source, Place(place.folder, draft, place.path))
        renaming.rename(place.folder, draft, place.folder, place.name, replace=replace)
        drafts.sync(place.folder)


@contextlib.contextmanager
def _both(tree: Tree, action: FileAction) -> Iterator[tuple[Place, Place]]:
    """Where it is and where it goes.

    Raises:
        CommandFailedError: what is there already may not be replaced by it.
    """
    with (
        tree.place(action.path, follow=False) as source,
        tree.place(action.destination, follow=False) as place,
    ):
        if place.name == ITSELF:
            raise failure.conflict(f"{action.destination} is there already")
        old, new = place.look(), source.look()
        if old is not None and new is not None and action.overwrite:
            tree.ground.check(old, action.destination)
            tree.ground.check_whole(old, action.destination)
            if stat.S_ISDIR(old.st_mode) != stat.S_ISDIR(new.st_mode):
                raise failure.conflict(f"{action.destination} is there and of another kind")
        yield source, place
