"""Members of an archive, read one after another in bounded memory.

Nothing in an archive is trusted: sizes are counted as data arrives, and headers are bounded.
`archive_extract` checks names and links.
"""

import contextlib
import dataclasses
import io
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from enum import Enum
from typing import cast

from agent.commands.errors import CommandFailedError, invalid, too_large
from agent.files.decompression import BLOCK, damaged, decompress, incomplete
from agent.files.safe_path import SafeFileSystem

HEADER_LIMIT = 64 * 1024  # bytes of one member's names and attributes
GLOBAL_LIMIT = 64  # attributes that apply to all members
ENTRY_LIMIT = 100_000
ENTRY_MARK = b"PK\1\2"  # start of each entry in the table of contents of a zip
CONTENTS_LIMIT = 16 * 1024 * 1024  # bytes of the table of contents of a zip
TARGET_LIMIT = 4096  # bytes of the target of a link


class Kind(Enum):
    FILE = "file"
    FOLDER = "folder"
    LINK = "symbolic link"
    HARD_LINK = "hard link"


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    name: str
    kind: Kind
    mode: int
    """Permission bits; 0 if the archive does not contain them."""
    target: str = ""
    content: Iterator[bytes] = dataclasses.field(default_factory=lambda: iter(()))


class SizeLimit:
    """Counts the bytes that come out of an archive."""

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit

    def count(self, size: int) -> None:
        """Raises: CommandFailedError: the limit is exceeded."""
        self._left -= size
        if self._left < 0:
            raise too_large(
                f"The content of this archive is larger than {self._limit >> 20} MiB, which is"
                " more than the disk has room for, or too much for the size of the archive."
            )


def too_many_entries() -> CommandFailedError:
    return too_large(
        f"This archive has more than {ENTRY_LIMIT} entries, which is the limit. Extract it in a"
        " terminal."
    )


def read_members(fs: SafeFileSystem, descriptor: int, limit: SizeLimit) -> Iterator[Member]:
    """Yield the members; the content of one must be read before the next one.

    Raises:
        CommandFailedError: the archive is damaged, or too large.
    """
    head = os.pread(descriptor, 6, 0)
    if head[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:
        yield from _zip_members(fs, descriptor, limit)
    else:
        blocks = decompress(_read_blocks(fs, descriptor), head)
        yield from _tar_members(_TarStream(blocks, limit))


def _read_blocks(fs: SafeFileSystem, descriptor: int) -> Iterator[bytes]:
    offset = 0
    while block := os.pread(descriptor, BLOCK, offset):
        fs.check_cancelled()
        yield block
        offset += len(block)


class _TarStream:
    """The bytes of a tar archive, read once and forwards."""

    def __init__(self, blocks: Iterator[bytes], limit: SizeLimit) -> None:
        self._blocks = blocks
        self._limit = limit
        self._buffer = memoryview(b"")
        self._position = 0

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        """Read a header for tarfile, which would read as many bytes as the archive claims."""
        if size > HEADER_LIMIT:
            raise too_large(
                f"This archive has a header of {size} bytes; at most {HEADER_LIMIT} are allowed."
            )
        data = b""
        while len(data) < size and (more := self._read_some(size - len(data))):
            data += more
        return data

    def content(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes."""
        while size:
            data = self._read_some(min(size, BLOCK))
            if not data:
                raise incomplete()
            size -= len(data)
            yield data

    def skip_to(self, position: int) -> None:
        if position < self._position:
            raise damaged()
        for _ in self.content(position - self._position):
            pass

    def _read_some(self, most: int) -> bytes:
        """Return 1 to `most` bytes; none at the end."""
        if not self._buffer:
            self._buffer = memoryview(next(self._blocks, b""))
            self._limit.count(len(self._buffer))
        data, self._buffer = bytes(self._buffer[:most]), self._buffer[most:]
        self._position += len(data)
        return data


@dataclasses.dataclass(slots=True)
class _TarHeaders:
    """The attributes of a TarFile that `TarInfo.fromtarfile` uses; TarFile itself hides damage."""

    fileobj: _TarStream
    offset: int = 0
    encoding: str = "utf-8"
    errors: str = "surrogateescape"
    pax_headers: dict[str, str] = dataclasses.field(default_factory=dict)


def _tar_members(stream: _TarStream) -> Iterator[Member]:
    headers = _TarHeaders(stream)
    while True:
        stream.skip_to(headers.offset)
        try:
            info = tarfile.TarInfo.fromtarfile(cast("tarfile.TarFile", headers))
        except tarfile.HeaderError as error:
            # Two blocks of zeros end an archive; some programs leave them out.
            is_end = type(error).__name__ in {"EOFHeaderError", "EmptyHeaderError"}
            if is_end and headers.offset:
                return
            raise damaged() from error
        except (tarfile.TarError, ValueError, IndexError, OverflowError, RecursionError) as error:
            raise damaged() from error
        if info.size < 0 or len(headers.pax_headers) > GLOBAL_LIMIT:
            raise damaged()
        yield _tar_member(stream, info)


def _tar_member(stream: _TarStream, info: tarfile.TarInfo) -> Member:
    mode = info.mode & 0o777
    if info.isdir():
        return Member(info.name, Kind.FOLDER, mode)
    if info.issym():
        return Member(info.name, Kind.LINK, mode, info.linkname)
    if info.islnk():
        return Member(info.name, Kind.HARD_LINK, mode, info.linkname)
    if not info.isreg() or info.issparse():
        raise _unsupported_kind(info.name)
    return Member(info.name, Kind.FILE, mode, content=stream.content(info.size))


def _unsupported_kind(name: str) -> CommandFailedError:
    return invalid(
        f"{name} in this archive is neither a file nor a folder nor a link. Nothing was extracted."
    )


class _ZipFileReader(io.FileIO):
    """A zip file whose table of contents is bounded.

    zipfile reads the whole table, with the size that the archive claims. It uses half a kilobyte for
    each entry found in it, even if the archive claims fewer entries.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size > CONTENTS_LIMIT:
            raise too_large(
                "The table of contents of this archive is larger than"
                f" {CONTENTS_LIMIT >> 20} MiB, which is the limit."
            )
        data = super().read(size) or b""
        if data.count(ENTRY_MARK) > ENTRY_LIMIT:
            raise too_many_entries()
        return data


def _zip_members(fs: SafeFileSystem, descriptor: int, limit: SizeLimit) -> Iterator[Member]:
    with (
        _translate_zip_errors(),
        _ZipFileReader(os.dup(descriptor)) as file,
        zipfile.ZipFile(file) as archive,
    ):
        for info in archive.infolist():
            fs.check_cancelled()
            # zipfile's other decompressors return all their output at once.
            if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise invalid("This zip uses a compression that is not supported. Use deflate.")
            if info.flag_bits & 1:
                raise invalid("This zip is encrypted, which is not supported.")
            yield _zip_member(archive, info, limit)


@contextlib.contextmanager
def _translate_zip_errors() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError):
        raise damaged() from None


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: SizeLimit) -> Member:
    mode = info.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if info.is_dir():
        return Member(info.filename, Kind.FOLDER, mode & 0o777)
    content = _zip_content(archive, info, limit)
    if kind == stat.S_IFLNK:
        target = b""
        for block in content:
            target += block
            if len(target) > TARGET_LIMIT:
                raise damaged()
        return Member(info.filename, Kind.LINK, mode & 0o777, os.fsdecode(target))
    if kind not in {0, stat.S_IFREG}:
        raise _unsupported_kind(info.filename)
    return Member(info.filename, Kind.FILE, mode & 0o777, content=content)


def _zip_content(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: SizeLimit
) -> Iterator[bytes]:
    with _translate_zip_errors(), archive.open(info) as file:
        while block := file.read(BLOCK):
            limit.count(len(block))
            yield block
