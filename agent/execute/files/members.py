"""What archives hold, read one after another in bounded memory.

Nothing in an archive is believed: sizes are counted as they come, headers are bounded, and
what its names and links may be is for `unpacking` to say.
"""

import contextlib
import dataclasses
import io
import os
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Protocol, cast

from agent.execute import failure
from agent.execute.files.tree import Tree

BLOCK = 256 * 1024  # bytes
HEADER_LIMIT = 64 * 1024  # bytes of one member's names and attributes
GLOBAL_LIMIT = 64  # attributes that hold for all members
ENTRY_LIMIT = 100_000
ENTRY = b"PK\1\2"  # where an entry of a zip's table of contents begins
DIRECTORY_LIMIT = 16 * 1024 * 1024  # bytes of a zip's table of contents
TARGET_LIMIT = 4096  # bytes of what a link says
XZ_MEMORY = 128 * 1024 * 1024  # bytes; what `xz -9` needs, and half as much again
DAMAGED = "this archive is damaged, or of a kind not known here (tar, tar.gz, tar.bz2, tar.xz, zip)"


def too_many() -> failure.CommandFailedError:
    return failure.too_large(f"this archive has more than {ENTRY_LIMIT} entries")


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
    """0 where the archive does not say."""
    target: str = ""
    content: Iterator[bytes] = dataclasses.field(default_factory=lambda: iter(()))


class Budget:
    """Bytes that may come out of an archive."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most

    def take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise failure.too_large(
                f"more than {self._most >> 20} MiB would come out of this archive,"
                " which is more than there is room for, or than it can honestly hold"
            )


class _Machine(Protocol):
    """A decompressor, as in bz2 and lzma."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def members(tree: Tree, descriptor: int, budget: Budget) -> Iterator[Member]:
    """Each to be used before the next is asked for.

    Raises:
        CommandFailedError: it is damaged, or holds too much.
    """
    head = os.pread(descriptor, 6, 0)
    if head[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:
        yield from _zip_members(tree, descriptor, budget)
        return
    blocks = _blocks(tree, descriptor)
    if head.startswith(b"\x1f\x8b"):
        blocks = _decompressed(blocks, *_gzip())
    elif head.startswith(b"BZh"):
        blocks = _decompressed(blocks, *_bzip2())
    elif head == b"\xfd7zXZ\0":
        blocks = _decompressed(blocks, *_xz())
    yield from _tar_members(_Stream(blocks, budget))


def _blocks(tree: Tree, descriptor: int) -> Iterator[bytes]:
    offset = 0
    while block := os.pread(descriptor, BLOCK, offset):
        tree.go_on()
        yield block
        offset += len(block)


class _Gzip:
    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out: bytes = self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        self.needs_input = len(out) < max_length and not self._stream.unconsumed_tail
        return out


# How to make a decompressor, and what it raises.
_Make = tuple[Callable[[], Any], type[Exception]]


def _gzip() -> _Make:
    return lambda: _Gzip(zlib.decompressobj(16 + zlib.MAX_WBITS)), zlib.error


def _bzip2() -> _Make:
    _unblock("bz2")
    import bz2  # noqa: PLC0415  # only where it is needed

    return bz2.BZ2Decompressor, OSError


def _xz() -> _Make:
    _unblock("lzma")
    import lzma  # noqa: PLC0415  # only where it is needed

    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY), lzma.LZMAError


def _unblock(module: str) -> None:
    """The agent starts without it, as long as nobody needs it."""
    if sys.modules.get(module, sys) is None:
        del sys.modules[module]


def _decompressed(
    blocks: Iterator[bytes], make: Callable[[], _Machine], error: type[Exception]
) -> Iterator[bytes]:
    """One stream or several in a row, as these tools write and take them."""
    machine = make()
    begun = False
    for block in blocks:
        data = block
        while data or not machine.needs_input:
            try:
                out = machine.decompress(data, BLOCK)
            except error:
                raise failure.invalid(DAMAGED) from None
            begun, data = True, b""
            if out:
                yield out
            if machine.eof:
                # Zeros may follow, up to a tape's block.
                data = machine.unused_data.lstrip(b"\0")
                machine, begun = make(), False
    if begun:
        raise failure.invalid("this archive is broken off")


class _Stream:
    """The bytes of a tar, which are read once and forwards."""

    def __init__(self, blocks: Iterator[bytes], budget: Budget) -> None:
        self._blocks = blocks
        self._budget = budget
        self._buffer = memoryview(b"")
        self._at = 0

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        """For tarfile, which reads headers in one piece whatever they say of their length."""
        if size > HEADER_LIMIT:
            raise failure.too_large("this archive has a header that is too large")
        data = b""
        while len(data) < size and (more := self.take(size - len(data))):
            data += more
        return data

    def take(self, size: int) -> bytes:
        """Some of the next bytes; none at the end."""
        if not self._buffer:
            self._buffer = memoryview(next(self._blocks, b""))
            self._budget.take(len(self._buffer))
        data, self._buffer = bytes(self._buffer[:size]), self._buffer[size:]
        self._at += len(data)
        return data

    def content(self, size: int) -> Iterator[bytes]:
        while size:
            data = self.take(min(size, BLOCK))
            if not data:
                raise failure.invalid("this archive is broken off")
            size -= len(data)
            yield data

    def go_to(self, position: int) -> None:
        if position < self._at:
            raise failure.invalid(DAMAGED)
        for _ in self.content(position - self._at):
            pass


@dataclasses.dataclass(slots=True)
class _Headers:
    """What `TarInfo.fromtarfile` wants of a TarFile, which itself hides damage."""

    fileobj: _Stream
    offset: int = 0
    encoding: str = "utf-8"
    errors: str = "surrogateescape"
    pax_headers: dict[str, str] = dataclasses.field(default_factory=dict)


def _tar_members(stream: _Stream) -> Iterator[Member]:
    headers = _Headers(stream)
    while True:
        stream.go_to(headers.offset)
        try:
            info = tarfile.TarInfo.fromtarfile(cast("tarfile.TarFile", headers))
        except tarfile.HeaderError as error:
            # Two blocks of zeros end it, and some leave them out.
            end = type(error).__name__ in {"EOFHeaderError", "EmptyHeaderError"}
            if end and headers.offset:
                return
            raise failure.invalid(DAMAGED) from error
        except (tarfile.TarError, ValueError, IndexError, OverflowError, RecursionError) as error:
            raise failure.invalid(DAMAGED) from error
        if info.size < 0 or len(headers.pax_headers) > GLOBAL_LIMIT:
            raise failure.invalid(DAMAGED)
        yield _tar_member(stream, info)


def _tar_member(stream: _Stream, info: tarfile.TarInfo) -> Member:
    mode = info.mode & 0o777
    if info.isdir():
        return Member(info.name, Kind.FOLDER, mode)
    if info.issym():
        return Member(info.name, Kind.LINK, mode, info.linkname)
    if info.islnk():
        return Member(info.name, Kind.HARD_LINK, mode, info.linkname)
    if not info.isreg() or info.issparse():
        raise failure.invalid(f"{info.name} in this archive is neither file, folder nor link")
    return Member(info.name, Kind.FILE, mode, content=stream.content(info.size))


class _Bounded(io.FileIO):
    """A zip; its table of contents is read in one piece, whatever it says of its length.

    From that, zipfile makes half a kilobyte for each entry there is, not for each the end record
    speaks of.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size > DIRECTORY_LIMIT:
            raise failure.too_large("this archive has a table of contents that is too large")
        data = super().read(size) or b""
        if data.count(ENTRY) > ENTRY_LIMIT:
            raise too_many()
        return data


def _zip_members(tree: Tree, descriptor: int, budget: Budget) -> Iterator[Member]:
    with _damage_told(), _Bounded(os.dup(descriptor)) as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            tree.go_on()
            # The others' decompressors give all they can at once.
            if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise failure.invalid("this zip is compressed in a way not known here")
            if info.flag_bits & 1:
                raise failure.invalid("this zip is encrypted")
            yield _zip_member(archive, info, budget)


@contextlib.contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError):
        raise failure.invalid(DAMAGED) from None


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> Member:
    mode = info.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if info.is_dir():
        return Member(info.filename, Kind.FOLDER, mode & 0o777)
    content = _zip_content(archive, info, budget)
    if kind == stat.S_IFLNK:
        target = b""
        for block in content:
            target += block
            if len(target) > TARGET_LIMIT:
                raise failure.invalid(DAMAGED)
        return Member(info.filename, Kind.LINK, mode & 0o777, os.fsdecode(target))
    if kind not in {0, stat.S_IFREG}:
        raise failure.invalid(f"{info.filename} in this archive is neither file, folder nor link")
    return Member(info.filename, Kind.FILE, mode & 0o777, content=content)


def _zip_content(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget
) -> Iterator[bytes]:
    with _damage_told(), archive.open(info) as file:
        while block := file.read(BLOCK):
            budget.take(len(block))
            yield block
