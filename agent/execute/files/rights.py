"""Permission bits and owners."""

import grp
import os
import pwd
from collections.abc import Callable

from agent.execute import failure
from agent.execute.files.entries import describe, last_name
from agent.execute.files.reasons import explained
from agent.execute.files.removing import check_whole, visit
from agent.execute.files.tree import Pinned, Place, Tree
from flotilla.v1.command_pb2 import FileAction, FileEntry

MOST = 0o7777
KEEP = -1  # of chown(2): leave it
NUMBER_LIMIT = (1 << 32) - 2


def change_mode(tree: Tree, action: FileAction) -> FileEntry:
    """All bits may be set, also setuid and setgid: who may write may do that."""
    if action.mode > MOST:
        raise failure.invalid("permission bits are from 0 to 7777 in octal")

    def change(thing: Pinned) -> None:
        thing.again.chmod(action.mode)

    return _change(tree, action, change)


def change_owner(tree: Tree, action: FileAction) -> FileEntry:
    user = _number(action.owner, "user", lambda name: pwd.getpwnam(name).pw_uid)
    group = _number(action.group, "group", lambda name: grp.getgrnam(name).gr_gid)
    if user == group == KEEP:
        raise failure.invalid("an owner or a group is needed")

    def change(thing: Pinned) -> None:
        os.chown(thing.again, user, group)

    return _change(tree, action, change)


def _change(tree: Tree, action: FileAction, change: Callable[[Pinned], None]) -> FileEntry:
    """Of a file or folder; of all in it but links, whose own bits and owner mean nothing."""

    def each(folder: int, name: str, _status: os.stat_result, path: str) -> None:
        with tree.pin(Place(folder, name, path)) as thing, explained(path):
            if thing.is_file or thing.is_folder:
                change(thing)

    with tree.pinned(action.path) as there:
        if not there.is_file and not there.is_folder:
            raise failure.invalid(f"{action.path} is neither a file nor a folder")
        if there.is_folder and action.recursive:
            check_whole(tree, there.descriptor, there.status, action.path)
            visit(tree, there.descriptor, action.path, each)
        with explained(action.path):
            change(there)
        described = describe("", os.fstat(there.descriptor))
        described.name = last_name(action.path)
        return described


def _number(word: str, kind: str, look_up: Callable[[str], int]) -> int:
    if not word:
        return KEEP
    if word.isascii() and word.isdecimal():
        if int(word) > NUMBER_LIMIT:
            raise failure.invalid(f"there is no {kind} {word}")
        return int(word)
    try:
        return look_up(word)
    except (KeyError, ValueError):
        raise failure.invalid(f"that host knows no {kind} {word}") from None
