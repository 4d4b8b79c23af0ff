"""Files that come in pieces: kept beside their place, which takes them whole or not at all."""

import contextlib
import itertools
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator

from agent.execute import failure
from agent.execute.failure import CommandFailedError
from agent.execute.files import removing, renaming
from agent.execute.files.content import sha256
from agent.execute.files.copying import take_after
from agent.execute.files.entries import describe, last_name, version
from agent.execute.files.reasons import explained
from agent.execute.files.tree import ITSELF, Place, Tree, outward, reading
from flotilla.v1.command_pb2 import FileAction, FileEntry

UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
DRAFT = re.compile(r"\..+\.[0-9a-f]{32}\.part", re.DOTALL)
STALE = 24 * 3600.0  # seconds without a byte
NAMES_LIMIT = 20_000  # names of a folder among which they are looked for
NAME_BYTES = 255
WRITE_LIMIT = 256 * 1024  # bytes
NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_MODE = 0o644  # of a file that was not there before


def draft_name(name: str, upload_id: str) -> str:
    ending = f".{upload_id}.part"
    kept = os.fsencode(name)[: NAME_BYTES - len(ending) - 1]
    # Not in the middle of a character.
    return "." + os.fsdecode(kept.decode(errors="ignore").encode() or kept) + ending


def write(tree: Tree, action: FileAction) -> int:
    """How many bytes are there; fewer than `offset` when some before these are missing.

    Raises:
        CommandFailedError: others are there already, or the disk is full.
    """
    if len(action.data) > WRITE_LIMIT:
        raise failure.too_large(f"a piece has at most {WRITE_LIMIT} bytes")
    with _target(tree, action) as (place, name), explained(action.path):
        try:
            descriptor = _open(tree, place, name, os.O_RDWR)
        except FileNotFoundError:
            remove_stale(tree, place.folder)
            descriptor = _open(tree, place, name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            return _append(descriptor, action)
        finally:
            os.close(descriptor)


def received(tree: Tree, action: FileAction) -> int:
    with _target(tree, action) as (place, name), explained(action.path):
        try:
            descriptor = _open(tree, place, name, os.O_RDONLY)
        except FileNotFoundError:
            return 0
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)


def abort(tree: Tree, action: FileAction) -> None:
    with _target(tree, action) as (place, name), explained(action.path):
        try:
            os.close(_open(tree, place, name, os.O_RDONLY))
            os.unlink(name, dir_fd=place.folder)
        except FileNotFoundError:
            return


def commit(tree: Tree, action: FileAction) -> FileEntry:
    """Raises: CommandFailedError: not all is there, or not what was sent, or it may not go there."""
    with _target(tree, action) as (place, name), explained(action.path):
        try:
            descriptor = _open(tree, place, name, os.O_RDWR)
        except FileNotFoundError:
            raise failure.not_found(f"nothing of this upload of {action.path} is there") from None
        try:
            size = os.fstat(descriptor).st_size
            if size != action.size:
                raise failure.conflict(
                    f"{size} bytes of this upload are there, and {action.size} make it whole"
                )
            digest = sha256(tree, descriptor)
            if action.sha256 and digest != action.sha256:
                os.unlink(name, dir_fd=place.folder)
                raise failure.invalid(
                    "what arrived has another SHA-256 than was sent; it was dropped, send it again"
                )
            replace = action.overwrite or bool(action.version)
            install(tree, place, name, descriptor, replace=replace, expected=action.version)
            described = describe("", os.fstat(descriptor))
        finally:
            os.close(descriptor)
    described.name, described.sha256 = last_name(action.path), digest
    return described


def install(
    tree: Tree, place: Place, draft: str, descriptor: int, *, replace: bool, expected: str = ""
) -> None:
    """Give a finished draft its place at once, with mode and owner of the file it replaces.

    Raises:
        CommandFailedError: something is there that may not be replaced.
    """
    if place.look() is None:
        if expected:
            raise failure.conflict(f"{place.path} was removed meanwhile")
        os.fchmod(descriptor, FILE_MODE)
    else:
        if not replace:
            raise failure.conflict(f"{place.path} is there already")
        with tree.pin(place) as old:
            # A link's mode says nothing: anybody may do anything with it.
            if old.is_file:
                take_after(descriptor, old, wholly=True)
            else:
                os.fchmod(descriptor, FILE_MODE)
    os.fsync(descriptor)
    with contextlib.ExitStack() as stack:
        if expected:
            old = stack.enter_context(tree.pin(place))
            if version(old.status) != expected:
                raise failure.conflict(f"{place.path} was changed meanwhile; load it again")
        with explained(place.path):
            renaming.rename(place.folder, draft, place.folder, place.name, replace=replace)
    sync(place.folder)


def sync(folder: int) -> None:
    """Have the names of a folder, open as O_PATH, outlast a power cut."""
    with reading(folder) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def scratch(tree: Tree, place: Place) -> Iterator[str]:
    """A draft's name for one action's own use; what has it at the end is removed."""
    name = draft_name(place.name, secrets.token_hex(16))
    try:
        yield name
    finally:
        with contextlib.suppress(OSError, CommandFailedError):
            removing.remove(tree, place.folder, name, place.path)


def remove_stale(tree: Tree, folder: int) -> None:
    """Drafts of ours in a folder, open as O_PATH, that nobody went on with."""
    before = time.time() - STALE
    with reading(folder) as descriptor, os.scandir(descriptor) as items:
        for item in itertools.islice(items, NAMES_LIMIT):
            if not DRAFT.fullmatch(item.name):
                continue
            with contextlib.suppress(OSError, CommandFailedError):
                status = item.stat(follow_symlinks=False)
                if status.st_uid == os.geteuid() and status.st_mtime < before:
                    removing.remove(tree, folder, item.name, outward(item.name))


@contextlib.contextmanager
def _target(tree: Tree, action: FileAction) -> Iterator[tuple[Place, str]]:
    """Where the file goes, a link to it followed, and its draft's name there."""
    if not UPLOAD_ID.fullmatch(action.upload_id):
        raise failure.invalid("an upload is named by 32 hexadecimal digits")
    with tree.place(action.path, follow=True) as place:
        if place.name == ITSELF:
            raise failure.conflict(f"{action.path} is a folder")
        if place.look() is not None:
            with tree.pin(place) as there:
                if not there.is_file:
                    raise failure.conflict(f"{action.path} is there and is not a file")
        yield place, draft_name(place.name, action.upload_id)


def _open(tree: Tree, place: Place, name: str, flags: int) -> int:
    """Raises: FileNotFoundError, CommandFailedError: somebody else put it there."""
    descriptor = os.open(
        name,
        flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
        0o600,
        dir_fd=place.folder,
    )
    status = os.fstat(descriptor)
    if not _is_ours(status):
        os.close(descriptor)
        raise failure.conflict("a file that is no draft has this upload's name; start anew")
    tree.ground.check(status, place.path)
    return descriptor


def _is_ours(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1


def _append(descriptor: int, action: FileAction) -> int:
    size = os.fstat(descriptor).st_size
    if action.offset > size:
        return size
    known = min(size - action.offset, len(action.data))
    if known and os.pread(descriptor, known, action.offset) != action.data[:known]:
        raise failure.conflict(
            f"at {action.offset} this upload has other bytes than were sent before; start anew"
        )
    rest = memoryview(action.data)[known:]
    while rest:
        written = os.pwrite(descriptor, rest, size)
        rest, size = rest[written:], size + written
    return size
