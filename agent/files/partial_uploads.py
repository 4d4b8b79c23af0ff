"""Uploads in chunks: a hidden file beside the destination, which it replaces when it is complete."""

import contextlib
import itertools
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator

from agent.commands.errors import CommandFailedError, conflict, invalid, not_found, too_large
from agent.files import renameat2
from agent.files.copy import copy_attributes
from agent.files.delete import remove_all
from agent.files.listing import file_version, make_entry
from agent.files.names import CURRENT_FOLDER, last_name, to_text
from agent.files.os_errors import translate_os_errors
from agent.files.read import sha256
from agent.files.safe_path import Place, SafeFileSystem, open_for_reading
from flotilla.v1.command_pb2 import FileAction, FileEntry

UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
PART_NAME = re.compile(r"\..+\.[0-9a-f]{32}\.part", re.DOTALL)
STALE_AGE = 24 * 3600.0  # seconds without a change
NAME_LIMIT = 20_000  # names of a folder that are searched for stale files
NAME_BYTES = 255
CHUNK_LIMIT = 256 * 1024  # bytes
NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
DEFAULT_MODE = 0o644  # of a file that did not exist before


def part_name(name: str, upload_id: str) -> str:
    """Return the hidden name of an upload to `name`, shortened to what a disk allows."""
    ending = f".{upload_id}.part"
    kept = os.fsencode(name)[: NAME_BYTES - len(ending) - 1]
    # Do not cut within a character.
    return "." + os.fsdecode(kept.decode(errors="ignore").encode() or kept) + ending


def write_chunk(fs: SafeFileSystem, action: FileAction) -> int:
    """Write a chunk and return the size so far, which is less than `offset` if there is a gap.

    Raises:
        CommandFailedError: other data was written at this offset, or the disk is full.
    """
    if len(action.data) > CHUNK_LIMIT:
        raise too_large(f"A chunk can have at most {CHUNK_LIMIT} bytes, not {len(action.data)}.")
    with _destination(fs, action) as (place, part), translate_os_errors(action.path):
        try:
            descriptor = _open_part(fs, place, part, os.O_RDWR)
        except FileNotFoundError:
            remove_stale_parts(fs, place.folder)
            descriptor = _open_part(fs, place, part, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            return _append(descriptor, action)
        finally:
            os.close(descriptor)


def received_bytes(fs: SafeFileSystem, action: FileAction) -> int:
    with _destination(fs, action) as (place, part), translate_os_errors(action.path):
        try:
            descriptor = _open_part(fs, place, part, os.O_RDONLY)
        except FileNotFoundError:
            return 0
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)


def abort(fs: SafeFileSystem, action: FileAction) -> None:
    with _destination(fs, action) as (place, part), translate_os_errors(action.path):
        try:
            os.close(_open_part(fs, place, part, os.O_RDONLY))
            os.unlink(part, dir_fd=place.folder)
        except FileNotFoundError:
            return


def commit(fs: SafeFileSystem, action: FileAction) -> FileEntry:
    """Check a complete upload and move it to its destination.

    Raises:
        CommandFailedError: data is missing or wrong, or the destination may not be replaced.
    """
    with _destination(fs, action) as (place, part), translate_os_errors(action.path):
        try:
            descriptor = _open_part(fs, place, part, os.O_RDWR)
        except FileNotFoundError:
            raise not_found(
                f"There is no unfinished upload of {action.path} with this id. Start it again."
            ) from None
        try:
            digest = _check_complete(fs, place, part, descriptor, action)
            replace = action.overwrite or bool(action.version)
            install(fs, place, part, descriptor, replace=replace, expected=action.version)
            entry = make_entry("", os.fstat(descriptor))
        finally:
            os.close(descriptor)
    entry.name, entry.sha256 = last_name(action.path), digest
    return entry


def _check_complete(
    fs: SafeFileSystem, place: Place, part: str, descriptor: int, action: FileAction
) -> bytes:
    """Return the digest of the upload, whose size and digest are as announced."""
    size = os.fstat(descriptor).st_size
    if size != action.size:
        raise conflict(
            f"{size} bytes of this upload have arrived, but its size is {action.size} bytes."
            " Send the missing chunks."
        )
    digest = sha256(fs, descriptor)
    if action.sha256 and digest != action.sha256:
        os.unlink(part, dir_fd=place.folder)
        raise invalid(
            "The SHA-256 of the received data is not the one that was sent with it. The data was"
            " discarded; upload the file again."
        )
    return digest


def install(
    fs: SafeFileSystem,
    place: Place,
    part: str,
    descriptor: int,
    *,
    replace: bool,
    expected: str = "",
) -> None:
    """Move a complete file to its place atomically, with mode and owner of the file there.

    `expected` is the version that the file there must have.

    Raises:
        CommandFailedError: the file there may not be replaced.
    """
    if place.stat() is None:
        if expected:
            raise conflict(f"{place.path} was removed in the meantime. Save it under a new name.")
        os.fchmod(descriptor, DEFAULT_MODE)
    else:
        if not replace:
            raise already_exists(place.path)
        with fs.handle(place) as old:
            # The mode of a link has no meaning.
            if old.is_file:
                copy_attributes(old, descriptor, exact=True)
            else:
                os.fchmod(descriptor, DEFAULT_MODE)
    os.fsync(descriptor)
    with contextlib.ExitStack() as stack:
        if expected:
            old = stack.enter_context(fs.handle(place))
            if file_version(old.status) != expected:
                raise conflict(
                    f"{place.path} was changed in the meantime. Load it again before you save it."
                )
        with translate_os_errors(place.path):
            renameat2.rename(place.folder, part, place.folder, place.name, replace=replace)
    sync_folder(place.folder)


def already_exists(path: str) -> CommandFailedError:
    return conflict(f"{path} exists already.")


def sync_folder(folder: int) -> None:
    """Sync the names of a folder, which is open with O_PATH, to the disk."""
    with open_for_reading(folder) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def temporary_name(fs: SafeFileSystem, place: Place) -> Iterator[str]:
    """Yield a hidden name beside `place`; remove what has that name at the end."""
    name = part_name(place.name, secrets.token_hex(16))
    try:
        yield name
    finally:
        with contextlib.suppress(OSError, CommandFailedError):
            remove_all(fs, place.folder, name, place.path)


def remove_stale_parts(fs: SafeFileSystem, folder: int) -> None:
    """Remove the agent's abandoned files from a folder that is open with O_PATH."""
    before = time.time() - STALE_AGE
    with open_for_reading(folder) as descriptor, os.scandir(descriptor) as items:
        for item in itertools.islice(items, NAME_LIMIT):
            if not PART_NAME.fullmatch(item.name):
                continue
            with contextlib.suppress(OSError, CommandFailedError):
                status = item.stat(follow_symlinks=False)
                if status.st_uid == os.geteuid() and status.st_mtime < before:
                    remove_all(fs, folder, item.name, to_text(item.name))


@contextlib.contextmanager
def _destination(fs: SafeFileSystem, action: FileAction) -> Iterator[tuple[Place, str]]:
    """Yield the place of the file, with a link to it followed, and the hidden name beside it."""
    if not UPLOAD_ID.fullmatch(action.upload_id):
        raise invalid("An upload id must have 32 hexadecimal digits.")
    with fs.place(action.path, follow=True) as place:
        if place.name == CURRENT_FOLDER:
            raise conflict(f"{action.path} is a folder. Give the full path of the file.")
        if place.stat() is not None:
            with fs.handle(place) as found:
                if not found.is_file:
                    raise conflict(f"{action.path} exists already and is not a file.")
        yield place, part_name(place.name, action.upload_id)


def _open_part(fs: SafeFileSystem, place: Place, part: str, flags: int) -> int:
    """Raises: FileNotFoundError, CommandFailedError: another user has put a file there."""
    descriptor = os.open(
        part,
        flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
        0o600,
        dir_fd=place.folder,
    )
    status = os.fstat(descriptor)
    if not _is_own_part(status):
        os.close(descriptor)
        raise conflict(
            "Another program has created a file with the name of this upload. Start the upload"
            " again."
        )
    fs.protected.check(status, place.path)
    return descriptor


def _is_own_part(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1


def _append(descriptor: int, action: FileAction) -> int:
    """Write what is new in the chunk; return the size of the upload."""
    size = os.fstat(descriptor).st_size
    if action.offset > size:
        return size
    known = min(size - action.offset, len(action.data))
    if known and os.pread(descriptor, known, action.offset) != action.data[:known]:
        raise conflict(
            f"Other data was sent for offset {action.offset} of this upload before. Start the"
            " upload again."
        )
    rest = memoryview(action.data)[known:]
    while rest:
        written = os.pwrite(descriptor, rest, size)
        rest, size = rest[written:], size + written
    return size
