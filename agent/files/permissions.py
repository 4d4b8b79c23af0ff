"""Permission bits and owners."""

import grp
import os
import pwd
from collections.abc import Callable

from agent.commands.errors import invalid
from agent.files.delete import check_contents, visit
from agent.files.listing import make_entry
from agent.files.names import last_name
from agent.files.os_errors import translate_os_errors
from agent.files.safe_path import Handle, Place, SafeFileSystem
from flotilla.v1.command_pb2 import FileAction, FileEntry

MAX_MODE = 0o7777
UNCHANGED = -1  # for chown(2)
MAX_ID = (1 << 32) - 2


def change_mode(fs: SafeFileSystem, action: FileAction) -> FileEntry:
    """Set any permission bits, including setuid and setgid."""
    if action.mode > MAX_MODE:
        raise invalid(f"Permission bits must be from 0 to 7777 in octal, not {action.mode:o}.")

    def change(handle: Handle) -> None:
        handle.proc_path.chmod(action.mode)

    return _change(fs, action, change)


def change_owner(fs: SafeFileSystem, action: FileAction) -> FileEntry:
    user = _parse_id(action.owner, "user", lambda name: pwd.getpwnam(name).pw_uid)
    group = _parse_id(action.group, "group", lambda name: grp.getgrnam(name).gr_gid)
    if user == group == UNCHANGED:
        raise invalid("An owner or a group is required.")

    def change(handle: Handle) -> None:
        os.chown(handle.proc_path, user, group)

    return _change(fs, action, change)


def _change(fs: SafeFileSystem, action: FileAction, change: Callable[[Handle], None]) -> FileEntry:
    """Change a file or folder, recursively everything in it except links.

    The bits and the owner of a link itself have no effect.
    """

    def change_item(folder: int, name: str, _status: os.stat_result, path: str) -> None:
        with fs.handle(Place(folder, name, path)) as handle, translate_os_errors(path):
            if handle.is_file or handle.is_folder:
                change(handle)

    with fs.resolve(action.path) as found:
        if not found.is_file and not found.is_folder:
            raise invalid(f"{action.path} is neither a file nor a folder.")
        if found.is_folder and action.recursive:
            check_contents(fs, found)
            visit(fs, found.descriptor, action.path, change_item)
        with translate_os_errors(action.path):
            change(found)
        entry = make_entry("", os.fstat(found.descriptor))
    entry.name = last_name(action.path)
    return entry


def _parse_id(text: str, kind: str, look_up: Callable[[str], int]) -> int:
    """Return the number of a user or group, which is given as a number or a name."""
    if not text:
        return UNCHANGED
    if text.isascii() and text.isdecimal():
        if int(text) > MAX_ID:
            raise invalid(f"A {kind} id can be at most {MAX_ID}, not {text}.")
        return int(text)
    try:
        return look_up(text)
    except (KeyError, ValueError):
        raise invalid(f"There is no {kind} {text} on this server.") from None
