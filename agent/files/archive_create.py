"""Creation of .tar.gz archives."""

import gzip
import os
import stat
import tarfile

from agent.commands.errors import conflict, invalid, too_large
from agent.files import partial_uploads
from agent.files.delete import check_depth
from agent.files.listing import Owners, entry_at
from agent.files.names import CURRENT_FOLDER, join, to_os_name
from agent.files.os_errors import translate_os_errors
from agent.files.protected_paths import Inode, inode
from agent.files.safe_path import Handle, Place, SafeFileSystem, open_for_reading
from flotilla.v1.command_pb2 import FileAction, FileEntry

ENTRY_LIMIT = 100_000
BYTES_LIMIT = 10 * 1024**3
COMPRESSION_LEVEL = 6
BLOCK = 256 * 1024  # bytes


def create_archive(fs: SafeFileSystem, action: FileAction) -> FileEntry:
    """Pack files, folders and links (as links); leave out devices, sockets and pipes."""
    _check_names(list(action.names))
    with (
        fs.open_folder(action.path) as folder,
        fs.place(action.destination, follow=False) as place,
    ):
        _check_destination(place, replace=action.overwrite)
        with (
            partial_uploads.temporary_name(fs, place) as temporary,
            translate_os_errors(action.destination),
        ):
            descriptor = os.open(temporary, partial_uploads.NEW_FILE, 0o600, dir_fd=place.folder)
            try:
                _pack(fs, folder, descriptor, action)
                partial_uploads.install(fs, place, temporary, descriptor, replace=action.overwrite)
            finally:
                os.close(descriptor)
        return entry_at(fs, place)


def _check_names(names: list[str]) -> None:
    if not names:
        raise invalid("Name at least one file or folder to pack.")
    for name in names:
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise invalid(f"{name!r} must be the name of a file in the folder, without a path.")


def _check_destination(place: Place, *, replace: bool) -> None:
    old = place.stat()
    if place.name == CURRENT_FOLDER or (old is not None and stat.S_ISDIR(old.st_mode)):
        raise conflict(f"{place.path} is a folder.")
    if old is not None and not replace:
        raise partial_uploads.already_exists(place.path)


def _pack(fs: SafeFileSystem, folder: int, descriptor: int, action: FileAction) -> None:
    with (
        os.fdopen(os.dup(descriptor), "wb", BLOCK) as raw,
        gzip.GzipFile("", "wb", COMPRESSION_LEVEL, raw) as packed,
    ):
        writer = _ArchiveWriter(fs, packed, inode(os.fstat(descriptor)))
        for name in dict.fromkeys(action.names):
            os_name = to_os_name(name)
            writer.add(Place(folder, os_name, f"{action.path.rstrip('/')}/{name}"), os_name)
        packed.write(bytes(2 * tarfile.BLOCKSIZE))


class _ArchiveWriter:
    def __init__(self, fs: SafeFileSystem, packed: gzip.GzipFile, archive: Inode) -> None:
        """`archive` is the archive itself, which is left out."""
        self._fs = fs
        self._packed = packed
        self._archive = archive
        self._owners = Owners()
        self._entries = 0
        self._bytes = 0

    def add(self, place: Place, name: str, depth: int = 1) -> None:
        """Add a file, or a folder with everything in it, as `name` in the archive."""
        self._fs.check_cancelled()
        check_depth(place.path, depth)
        with self._fs.handle(place) as found, translate_os_errors(place.path):
            if inode(found.status) == self._archive:
                return
            info = self._info(name, found.status)
            if found.is_link:
                info.type, info.linkname = tarfile.SYMTYPE, os.readlink("", dir_fd=found.descriptor)
                self._write_header(info)
            elif found.is_file:
                self._add_file(found, info)
            elif found.is_folder:
                self._add_folder(found, info, depth)

    def _add_file(self, found: Handle, info: tarfile.TarInfo) -> None:
        descriptor = found.open(os.O_RDONLY)
        try:
            info.size = os.fstat(descriptor).st_size
            self._write_header(info)
            self._write_content(descriptor, info.size)
        finally:
            os.close(descriptor)

    def _add_folder(self, found: Handle, info: tarfile.TarInfo, depth: int) -> None:
        info.type = tarfile.DIRTYPE
        self._write_header(info)
        with open_for_reading(found.descriptor) as folder, os.scandir(folder) as items:
            for item in items:
                place = Place(folder, item.name, join(found.path, item.name))
                self.add(place, f"{info.name}/{item.name}", depth + 1)

    def _info(self, name: str, status: os.stat_result) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.mode = stat.S_IMODE(status.st_mode)
        info.uid, info.gid = status.st_uid, status.st_gid
        info.uname = self._owners.user(status.st_uid)
        info.gname = self._owners.group(status.st_gid)
        info.mtime = int(status.st_mtime)
        return info

    def _write_header(self, info: tarfile.TarInfo) -> None:
        self._entries += 1
        self._bytes += info.size
        if self._entries > ENTRY_LIMIT or self._bytes > BYTES_LIMIT:
            raise too_large(
                f"An archive can have at most {ENTRY_LIMIT} entries and {BYTES_LIMIT >> 30} GiB."
                " Pack fewer files."
            )
        self._packed.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _write_content(self, descriptor: int, size: int) -> None:
        """Write `size` bytes, as the header says, even if the file grows."""
        left = size
        while left:
            self._fs.check_cancelled()
            data = os.read(descriptor, min(left, BLOCK))
            if not data:
                raise conflict("A file became shorter while it was packed. Try again.")
            self._packed.write(data)
            left -= len(data)
        self._packed.write(bytes(-size % tarfile.BLOCKSIZE))
