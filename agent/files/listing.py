"""Listings of folders and entries of files."""

import grp
import hashlib
import heapq
import os
import pwd
import stat
from collections.abc import Iterator

from agent.files.names import last_name, to_text
from agent.files.os_errors import translate_os_errors
from agent.files.safe_path import Place, SafeFileSystem
from flotilla.v1.command_pb2 import FileEntry, FileListing

ENTRY_LIMIT = 5_000
LISTING_BYTES = 768 * 1024  # of a message, which can have 1 MiB
NAME_LIMIT = 200_000  # names of a folder that are read to find the first ones


def file_version(status: os.stat_result) -> str:
    """Return a text that changes whenever the file or its content changes."""
    parts = (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


class Owners:
    """Names of users and groups, each looked up once."""

    def __init__(self) -> None:
        self._users: dict[int, str] = {}
        self._groups: dict[int, str] = {}

    def user(self, number: int) -> str:
        if number not in self._users:
            try:
                self._users[number] = pwd.getpwuid(number).pw_name
            except KeyError:
                self._users[number] = ""
        return self._users[number]

    def group(self, number: int) -> str:
        if number not in self._groups:
            try:
                self._groups[number] = grp.getgrgid(number).gr_name
            except KeyError:
                self._groups[number] = ""
        return self._groups[number]


def make_entry(
    name: str, status: os.stat_result, *, link: str = "", owners: Owners | None = None
) -> FileEntry:
    owners = owners or Owners()
    return FileEntry(
        name=to_text(name),
        kind=_kind(status.st_mode),
        size_bytes=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        user_id=status.st_uid,
        group_id=status.st_gid,
        owner=owners.user(status.st_uid),
        group=owners.group(status.st_gid),
        modified_at_unix_ms=status.st_mtime_ns // 1_000_000,
        link_target=to_text(link),
        version=file_version(status),
    )


def stat_entry(fs: SafeFileSystem, path: str) -> FileEntry:
    """Return the entry of a path; a link is not followed."""
    with fs.place(path, follow=False) as place, fs.handle(place) as found:
        link = os.readlink("", dir_fd=found.descriptor) if found.is_link else ""
        entry = make_entry("", found.status, link=link)
    entry.name = last_name(path)
    return entry


def entry_at(fs: SafeFileSystem, place: Place) -> FileEntry:
    with fs.handle(place) as found:
        entry = make_entry("", found.status)
    entry.name = last_name(place.path)
    return entry


def list_folder(fs: SafeFileSystem, path: str) -> FileListing:
    """List a folder: folders first, then by name."""
    with fs.open_folder(path) as descriptor, translate_os_errors(path):
        names = heapq.nsmallest(ENTRY_LIMIT + 1, _sort_keys(fs, descriptor))
        listing = FileListing(
            path="/" + "/".join(part for part in path.split("/") if part not in {"", "."}),
            truncated=len(names) > ENTRY_LIMIT,
        )
        owners = Owners()
        size = 0
        for _, name in names[:ENTRY_LIMIT]:
            fs.check_cancelled()
            try:
                entry = _entry_in(descriptor, name, owners)
            except FileNotFoundError:
                continue  # it was removed a moment ago
            size += entry.ByteSize() + 4
            if size > LISTING_BYTES:
                listing.truncated = True
                break
            listing.entries.append(entry)
        return listing


def _sort_keys(fs: SafeFileSystem, descriptor: int) -> Iterator[tuple[bool, str]]:
    with os.scandir(descriptor) as found:
        for _, item in zip(range(NAME_LIMIT), found, strict=False):
            fs.check_cancelled()
            yield not item.is_dir(follow_symlinks=False), item.name


def _entry_in(folder: int, name: str, owners: Owners) -> FileEntry:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    link = os.readlink(name, dir_fd=folder) if stat.S_ISLNK(status.st_mode) else ""
    return make_entry(name, status, link=link, owners=owners)


def _kind(mode: int) -> FileEntry.Kind.ValueType:
    if stat.S_ISREG(mode):
        return FileEntry.KIND_FILE
    if stat.S_ISDIR(mode):
        return FileEntry.KIND_DIRECTORY
    return FileEntry.KIND_LINK if stat.S_ISLNK(mode) else FileEntry.KIND_OTHER
