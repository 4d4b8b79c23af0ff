"""A .tar.gz of things in a folder."""

import gzip
import os
import stat
import tarfile

from agent.execute import failure
from agent.execute.files import drafts
from agent.execute.files.entries import Owners
from agent.execute.files.ground import Inode, inode
from agent.execute.files.moving import described
from agent.execute.files.reasons import explained
from agent.execute.files.removing import DEPTH_LIMIT
from agent.execute.files.tree import ITSELF, Place, Tree, inward, outward, reading
from flotilla.v1.command_pb2 import FileAction, FileEntry

ENTRY_LIMIT = 100_000
BYTES_LIMIT = 10 * 1024**3
LEVEL = 6
BLOCK = 256 * 1024  # bytes


def archive(tree: Tree, action: FileAction) -> FileEntry:
    """Folders, files and links, which stay links; a device, socket or pipe is left out."""
    _check_names(list(action.names))
    with (
        tree.opened_folder(action.path) as folder,
        tree.place(action.destination, follow=False) as place,
    ):
        old = place.look()
        if place.name == ITSELF or (old is not None and stat.S_ISDIR(old.st_mode)):
            raise failure.conflict(f"{action.destination} is a folder")
        if old is not None and not action.overwrite:
            raise failure.conflict(f"{action.destination} is there already")
        with drafts.scratch(tree, place) as draft, explained(action.destination):
            made = os.open(draft, drafts.NEW, 0o600, dir_fd=place.folder)
            try:
                with (
                    os.fdopen(os.dup(made), "wb", BLOCK) as raw,
                    gzip.GzipFile("", "wb", LEVEL, raw) as packed,
                ):
                    packing = _Packing(tree, packed, inode(os.fstat(made)))
                    for name in dict.fromkeys(action.names):
                        path = f"{action.path.rstrip('/')}/{name}"
                        packing.add(Place(folder, inward(name), path), inward(name))
                    packed.write(bytes(2 * tarfile.BLOCKSIZE))
                drafts.install(tree, place, draft, made, replace=action.overwrite)
            finally:
                os.close(made)
        return described(tree, place)


def _check_names(names: list[str]) -> None:
    if not names:
        raise failure.invalid("nothing is named that would go into the archive")
    for name in names:
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise failure.invalid("names are of what is in the folder itself")


class _Packing:
    def __init__(self, tree: Tree, packed: gzip.GzipFile, itself: Inode) -> None:
        self._tree = tree
        self._packed = packed
        self._itself = itself
        self._owners = Owners()
        self._entries = 0
        self._bytes = 0

    def add(self, place: Place, name: str, depth: int = 1) -> None:
        self._tree.go_on()
        if depth > DEPTH_LIMIT:
            raise failure.invalid(f"{place.path} lies more than {DEPTH_LIMIT} folders deep")
        with self._tree.pin(place) as found, explained(place.path):
            if inode(found.status) == self._itself:
                return
            info = self._info(name, found.status)
            if stat.S_ISLNK(found.status.st_mode):
                info.type, info.linkname = tarfile.SYMTYPE, os.readlink("", dir_fd=found.descriptor)
                self._write(info)
            elif found.is_file:
                descriptor = found.open(os.O_RDONLY)
                try:
                    info.size = os.fstat(descriptor).st_size
                    self._write(info)
                    self._content(descriptor, info.size)
                finally:
                    os.close(descriptor)
            elif found.is_folder:
                info.type = tarfile.DIRTYPE
                self._write(info)
                with reading(found.descriptor) as folder, os.scandir(folder) as items:
                    for item in items:
                        path = f"{place.path}/{outward(item.name)}"
                        self.add(Place(folder, item.name, path), f"{name}/{item.name}", depth + 1)

    def _info(self, name: str, status: os.stat_result) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.mode = stat.S_IMODE(status.st_mode)
        info.uid, info.gid = status.st_uid, status.st_gid
        info.uname = self._owners.user(status.st_uid)
        info.gname = self._owners.group(status.st_gid)
        info.mtime = int(status.st_mtime)
        return info

    def _write(self, info: tarfile.TarInfo) -> None:
        self._entries += 1
        self._bytes += info.size
        if self._entries > ENTRY_LIMIT or self._bytes > BYTES_LIMIT:
            raise failure.too_large(
                f"an archive has at most {ENTRY_LIMIT} entries and {BYTES_LIMIT >> 30} GiB"
            )
        self._packed.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _content(self, descriptor: int, size: int) -> None:
        """As long as it was when it was opened."""
        left = size
        while left:
            self._tree.go_on()
            data = os.read(descriptor, min(left, BLOCK))
            if not data:
                raise failure.conflict("a file became shorter while it was packed; try again")
            self._packed.write(data)
            left -= len(data)
        self._packed.write(bytes(-size % tarfile.BLOCKSIZE))
