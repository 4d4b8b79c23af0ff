"""Extraction of archives into a folder. Nothing is written outside this folder."""

import contextlib
import dataclasses
import os
import stat
from collections.abc import Iterator
from pathlib import PurePosixPath

from agent.commands.errors import CommandFailedError, conflict, invalid
from agent.files import archive_reader, partial_uploads, renameat2
from agent.files.archive_reader import Kind, Member, SizeLimit
from agent.files.delete import check_depth
from agent.files.listing import entry_at
from agent.files.move import FOLDER_MODE
from agent.files.names import join, to_text
from agent.files.os_errors import translate_os_errors
from agent.files.protected_paths import mount_id
from agent.files.safe_path import Place, SafeFileSystem, open_for_reading
from flotilla.v1.command_pb2 import FileAction, FileEntry

BYTES_LIMIT = 10 * 1024**3
# Largest plausible ratio of content to archive. Deflate reaches it with repetitive text.
MAX_RATIO = 250
MIN_ALLOWANCE = 64 * 1024 * 1024  # bytes that may come out of even the smallest archive
NAME_BYTES = 255
_OPEN_FOLDER = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def extract_archive(fs: SafeFileSystem, action: FileAction) -> FileEntry:
    """Extract the whole archive into a new folder, then rename that or merge it into another."""
    with (
        fs.open_file(action.path) as archive,
        fs.place(action.destination, follow=True) as place,
        contextlib.ExitStack() as stack,
    ):
        beside = place
        existing = None
        if place.stat() is not None:
            existing = stack.enter_context(fs.open_folder(action.destination))
            beside = Place(existing, "extract", action.destination)
        temporary = stack.enter_context(partial_uploads.temporary_name(fs, beside))
        with translate_os_errors(action.destination):
            os.mkdir(temporary, 0o700, dir_fd=beside.folder)
            with fs.open_subfolder(beside.folder, temporary, action.destination) as top:
                _extract_into(fs, archive, top)
                if existing is not None:
                    merge = _Merge(fs, mount_id(existing), replace=action.overwrite)
                    merge.check(top, existing, action.destination)
                    merge.move(top, existing, action.destination)
            if existing is None:
                renameat2.rename(beside.folder, temporary, place.folder, place.name, replace=False)
            partial_uploads.sync_folder(beside.folder)
        return entry_at(fs, place)


def _extract_into(fs: SafeFileSystem, archive: int, top: int) -> None:
    disk = os.fstatvfs(top)
    free = disk.f_bavail * disk.f_frsize
    believable = max(MIN_ALLOWANCE, MAX_RATIO * os.fstat(archive).st_size)
    limit = SizeLimit(min(BYTES_LIMIT, free, believable))
    with contextlib.closing(_Extraction(top)) as extraction:
        members = archive_reader.read_members(fs, archive, limit)
        for count, member in enumerate(members, start=1):
            fs.check_cancelled()
            if count > archive_reader.ENTRY_LIMIT:
                raise archive_reader.too_many_entries()
            extraction.add(member)
        extraction.set_folder_modes()


class _Extraction:
    """Writes members into a new folder that no other process knows yet."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._modes: dict[tuple[str, ...], int] = {(): FOLDER_MODE}
        # The folder of the last member stays open for the next one.
        self._parts: tuple[str, ...] = ()
        self._folder = os.dup(top)

    def close(self) -> None:
        os.close(self._folder)

    def add(self, member: Member) -> None:
        """Raises: CommandFailedError: the member leads out of the folder, or is malformed."""
        parts = _parse_name(member.name)
        if not parts:
            if member.kind is Kind.FOLDER:
                return
            raise _leads_out(member.name)
        with translate_os_errors(to_text(member.name)):
            if member.kind is Kind.FOLDER:
                self._open_folder(parts, member.name)
                # Keep it accessible to its owner, so that it can be deleted.
                self._modes[parts] = (member.mode or FOLDER_MODE) | stat.S_IRWXU
                return
            self._open_folder(parts[:-1], member.name)
            self._remove_earlier(parts[-1], member.name)
            if member.kind is Kind.FILE:
                self._add_file(parts[-1], member)
            elif member.kind is Kind.LINK:
                _check_target(member, len(parts) - 1)
                os.symlink(member.target, parts[-1], dir_fd=self._folder)
            else:
                self._add_hard_link(parts[-1], member)

    def set_folder_modes(self) -> None:
        """Set the modes of folders at the end, because they might forbid adding members."""
        for parts, mode in sorted(self._modes.items(), reverse=True):
            self._open_folder(parts, "/".join(parts))
            with open_for_reading(self._folder) as descriptor:
                os.fchmod(descriptor, mode)

    def _open_folder(self, parts: tuple[str, ...], name: str) -> None:
        """Open a folder inside, and create it if needed; a link is never followed."""
        if parts == self._parts:
            return
        folder = os.dup(self._top)
        try:
            for count, part in enumerate(parts, start=1):
                try:
                    child = os.open(part, _OPEN_FOLDER, dir_fd=folder)
                except FileNotFoundError:
                    os.mkdir(part, 0o700, dir_fd=folder)
                    self._modes.setdefault(parts[:count], FOLDER_MODE)
                    child = os.open(part, _OPEN_FOLDER, dir_fd=folder)
                except NotADirectoryError:
                    raise invalid(
                        f"{to_text(name)} in this archive leads through a link or a file. Nothing"
                        " was extracted."
                    ) from None
                os.close(folder)
                folder = child
        except BaseException:
            os.close(folder)
            raise
        os.close(self._folder)
        self._folder, self._parts = folder, parts

    def _remove_earlier(self, last: str, name: str) -> None:
        """Remove an earlier member of the same name."""
        try:
            os.unlink(last, dir_fd=self._folder)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            raise invalid(
                f"{to_text(name)} is both a folder and a file in this archive. Nothing was"
                " extracted."
            ) from None

    def _add_file(self, last: str, member: Member) -> None:
        descriptor = os.open(last, _NEW_FILE, 0o600, dir_fd=self._folder)
        try:
            for block in member.content:
                rest = memoryview(block)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            os.fchmod(descriptor, member.mode or partial_uploads.DEFAULT_MODE)
        finally:
            os.close(descriptor)

    def _add_hard_link(self, last: str, member: Member) -> None:
        parts = _parse_name(member.target)
        if not parts:
            raise _leads_out(member.name)
        folder = os.dup(self._folder)
        try:
            self._open_folder(parts[:-1], member.name)
            status = os.stat(parts[-1], dir_fd=self._folder, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                raise invalid(
                    f"{to_text(member.name)} in this archive is a hard link to something that is"
                    " not a file. Nothing was extracted."
                )
            os.link(
                parts[-1], last, src_dir_fd=self._folder, dst_dir_fd=folder, follow_symlinks=False
            )
        finally:
            os.close(folder)


def _parse_name(name: str) -> tuple[str, ...]:
    """Raises: CommandFailedError: the name is absolute, leads up, or is not a valid name."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise _leads_out(name)
    check_depth(to_text(name), len(path.parts))
    if "\0" in name or any(len(os.fsencode(part)) > NAME_BYTES for part in path.parts):
        raise invalid(
            f"{to_text(name[:NAME_BYTES])} in this archive is not a valid name. Nothing was"
            " extracted."
        )
    return path.parts


def _check_target(member: Member, depth: int) -> None:
    """Check the target of a link: `..` may occur only at its start and must not leave the folder.

    After a name, `..` may lead to an unexpected place, because the name can be a link.

    Raises:
        CommandFailedError: the link leads out, or could.
    """
    path = PurePosixPath(member.target)
    ups = 0
    while ups < len(path.parts) and path.parts[ups] == "..":
        ups += 1
    if (
        not member.target
        or "\0" in member.target
        or path.is_absolute()
        or ups > depth
        or ".." in path.parts[ups:]
    ):
        raise _leads_out(member.name)


def _leads_out(name: str) -> CommandFailedError:
    return invalid(
        f"{to_text(name)} in this archive leads out of its folder. Nothing was extracted."
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Item:
    """A name in the new folder, and the status of the same name in the existing folder."""

    name: str
    is_folder: bool
    existing: os.stat_result | None
    path: str
    """Text for messages."""

    @property
    def is_existing_folder(self) -> bool:
        return self.existing is not None and stat.S_ISDIR(self.existing.st_mode)


class _Merge:
    """Moves everything from a new folder into an existing one; folders are merged."""

    def __init__(self, fs: SafeFileSystem, mount: int, *, replace: bool) -> None:
        self._fs = fs
        self._mount = mount
        self._replace = replace

    def check(self, new: int, existing: int, path: str) -> None:
        """Raises: CommandFailedError: something in the existing folder may not be replaced."""
        if mount_id(existing) != self._mount:
            raise conflict(f"A disk is mounted at {path}. Extract into another folder.")
        for item in self._items(new, existing, path):
            self._fs.protected.check_name(os.fstat(existing), item.name, item.path)
            if item.existing is None:
                continue
            self._fs.protected.check(item.existing, item.path)
            if item.is_folder and item.is_existing_folder:
                with self._open_both(new, existing, item) as (new_child, existing_child):
                    self.check(new_child, existing_child, item.path)
            elif item.is_folder or item.is_existing_folder:
                raise conflict(
                    f"{item.path} exists already. A folder and a file cannot replace each other."
                )
            elif not self._replace:
                raise partial_uploads.already_exists(item.path)

    def move(self, new: int, existing: int, path: str) -> None:
        for item in self._items(new, existing, path):
            with translate_os_errors(item.path):
                if item.is_folder and item.existing is not None:
                    with self._open_both(new, existing, item) as (new_child, existing_child):
                        self.move(new_child, existing_child, item.path)
                else:
                    renameat2.rename(new, item.name, existing, item.name, replace=self._replace)

    @contextlib.contextmanager
    def _open_both(self, new: int, existing: int, item: _Item) -> Iterator[tuple[int, int]]:
        with (
            self._fs.open_subfolder(new, item.name, item.path) as new_child,
            self._fs.open_subfolder(existing, item.name, item.path) as existing_child,
        ):
            yield new_child, existing_child

    def _items(self, new: int, existing: int, path: str) -> list[_Item]:
        with open_for_reading(new) as descriptor, os.scandir(descriptor) as found:
            names = [(item.name, item.is_dir(follow_symlinks=False)) for item in found]
        items = []
        for name, is_folder in names:
            self._fs.check_cancelled()
            try:
                status = os.stat(name, dir_fd=existing, follow_symlinks=False)
            except FileNotFoundError:
                status = None
            items.append(_Item(name, is_folder, status, join(path, name)))
        return items
