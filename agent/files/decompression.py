"""Decompression of streams in bounded memory."""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from agent.commands.errors import CommandFailedError, invalid

BLOCK = 256 * 1024  # bytes
XZ_MEMORY = 128 * 1024 * 1024  # bytes; `xz -9` needs two thirds of this


def damaged() -> CommandFailedError:
    return invalid(
        "This archive is damaged, or its format is not supported. Supported are tar, tar.gz,"
        " tar.bz2, tar.xz and zip."
    )


def incomplete() -> CommandFailedError:
    return invalid("This archive is incomplete. Transfer it again.")


class Decompressor(Protocol):
    """The interface of the decompressors in bz2 and lzma."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


# A function that makes a decompressor, and the exception for damaged data.
Format = tuple[Callable[[], Any], type[Exception]]


def decompress(blocks: Iterator[bytes], head: bytes) -> Iterator[bytes]:
    """Decompress a file by its first six bytes; data without compression is passed through.

    Raises:
        CommandFailedError: the data is damaged or incomplete.
    """
    if head.startswith(b"\x1f\x8b"):
        return _decompress(blocks, *_gzip())
    if head.startswith(b"BZh"):
        return _decompress(blocks, *_bzip2())
    if head == b"\xfd7zXZ\0":
        return _decompress(blocks, *_xz())
    return blocks


def _decompress(
    blocks: Iterator[bytes], make: Callable[[], Decompressor], error: type[Exception]
) -> Iterator[bytes]:
    """Decompress one stream or several in a row, which these formats allow."""
    decompressor = make()
    is_open = False  # inside a stream
    for block in blocks:
        data = block
        while data or not decompressor.needs_input:
            try:
                out = decompressor.decompress(data, BLOCK)
            except error:
                raise damaged() from None
            is_open, data = True, b""
            if out:
                yield out
            if decompressor.eof:
                # Zeros may follow, as padding.
                data = decompressor.unused_data.lstrip(b"\0")
                decompressor, is_open = make(), False
    if is_open:
        raise incomplete()


class _Gzip:
    """A zlib stream with the interface of the other decompressors."""

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


def _gzip() -> Format:
    return lambda: _Gzip(zlib.decompressobj(16 + zlib.MAX_WBITS)), zlib.error


def _bzip2() -> Format:
    _allow_import("bz2")
    import bz2  # noqa: PLC0415  # only when it is used

    return bz2.BZ2Decompressor, OSError


def _xz() -> Format:
    _allow_import("lzma")
    import lzma  # noqa: PLC0415  # only when it is used

    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY), lzma.LZMAError


def _allow_import(module: str) -> None:
    """Undo the block with which the agent starts, so that other imports do not load the module."""
    if sys.modules.get(module, sys) is None:
        del sys.modules[module]
