"""What is there: folders listed, things described."""

import grp
import hashlib
import heapq
import os
import pwd
import stat
from collections.abc import Iterator

from agent.execute.files.reasons import explained
from agent.execute.files.tree import Tree, outward
from flotilla.v1.command_pb2 import FileEntry, FileListing

ENTRY_LIMIT = 5_000
LISTING_BYTES = 768 * 1024  # of a message, which may have 1 MiB
NAME_LIMIT = 200_000  # names of a folder among which the first are looked for


def version(status: os.stat_result) -> str:
    parts = (
        *(status.st_dev, status.st_ino, status.st_size),
        *(status.st_mtime_ns, status.st_ctime_ns),
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


def describe(
    name: str, status: os.stat_result, *, link: str = "", owners: Owners | None = None
) -> FileEntry:
    owners = owners or Owners()
    return FileEntry(
        name=outward(name),
        kind=_kind(status.st_mode),
        size_bytes=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        user_id=status.st_uid,
        group_id=status.st_gid,
        owner=owners.user(status.st_uid),
        group=owners.group(status.st_gid),
        modified_at_unix_ms=status.st_mtime_ns // 1_000_000,
        link_target=outward(link),
        version=version(status),
    )


def entry(tree: Tree, path: str) -> FileEntry:
    """Of the name itself, should it be a link."""
    with tree.place(path, follow=False) as place, tree.pin(place) as found:
        link = ""
        if stat.S_ISLNK(found.status.st_mode):
            link = os.readlink("", dir_fd=found.descriptor)
        described = describe("", found.status, link=link)
        described.name = last_name(path)
        return described


def last_name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or "/"


def listing(tree: Tree, path: str) -> FileListing:
    """Folders first, then by name."""
    with tree.opened_folder(path) as descriptor, explained(path):
        names = heapq.nsmallest(ENTRY_LIMIT + 1, _names(tree, descriptor))
        listed = FileListing(
            path="/" + "/".join(part for part in path.split("/") if part not in {"", "."}),
            truncated=len(names) > ENTRY_LIMIT,
        )
        owners = Owners()
        size = 0
        for _, name in names[:ENTRY_LIMIT]:
            tree.go_on()
            try:
                described = _in_folder(descriptor, name, owners)
            except FileNotFoundError:
                continue  # it went meanwhile
            size += described.ByteSize() + 4
            if size > LISTING_BYTES:
                listed.truncated = True
                break
            listed.entries.append(described)
        return listed


def _names(tree: Tree, descriptor: int) -> Iterator[tuple[bool, str]]:
    with os.scandir(descriptor) as found:
        for _, item in zip(range(NAME_LIMIT), found, strict=False):
            tree.go_on()
            yield not item.is_dir(follow_symlinks=False), item.name


def _in_folder(folder: int, name: str, owners: Owners) -> FileEntry:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    link = os.readlink(name, dir_fd=folder) if stat.S_ISLNK(status.st_mode) else ""
    return describe(name, status, link=link, owners=owners)


def _kind(mode: int) -> FileEntry.Kind.ValueType:
    if stat.S_ISREG(mode):
        return FileEntry.KIND_FILE
    if stat.S_ISDIR(mode):
        return FileEntry.KIND_DIRECTORY
    return FileEntry.KIND_LINK if stat.S_ISLNK(mode) else FileEntry.KIND_OTHER
