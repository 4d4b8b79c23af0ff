"""Header fields of HTTP/2 in the encoding HPACK (RFC 7541), without its dynamic table.

This client asks the server for a table of size 0, so each block of headers stands on its own. The
library hpack would take 0.4 MB, mostly for tables.
"""

from collections.abc import Iterable, Iterator
from functools import cache

# Appendix A: the entries that answers of gRPC refer to. Other entries are skipped.
STATIC_ENTRIES = 61
STATUSES = dict(
    zip(range(8, 15), (b"200", b"204", b"206", b"304", b"400", b"404", b"500"), strict=True)
)
STATIC_NAMES = {**dict.fromkeys(STATUSES, b":status"), 31: b"content-type"}
# Appendix B: the number of bits of each symbol. The code is canonical, so its bits follow.
HUFFMAN_BITS = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c"
    "060a0a0c0d06080b0a0a080b080606060505050606060606060607080f060c0a"
    "0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c"
    "1416141416161617161717171717181718181617181717171715161716171718"
    "1615141616171715171616181516171715151615171617171416161617161617"
    "1a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b"
    "14181415161515171616191918181a171a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a"
    "1e"
)
END_SYMBOL = 256
PADDING_BITS = 7
LARGEST = 1 << 28  # of an integer


class HeaderError(Exception):
    """A block of headers is malformed. The text says how."""


def encode(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a block with each field as a literal that is not added to a table."""
    return b"".join(b"\0" + _encode_text(name) + _encode_text(value) for name, value in fields)


def _encode_text(text: bytes) -> bytes:
    size, prefix = len(text), b""
    if size >= 127:
        size, prefix = size - 127, b"\x7f"
        while size >= 128:
            prefix += bytes([size % 128 + 128])
            size //= 128
    return prefix + bytes([size]) + text


def decode(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields of a block; those with other names of the static table are left out.

    Raises:
        HeaderError: The block is malformed, or it refers to a dynamic table.
    """
    reader = _Reader(block)
    while reader.has_more:
        first = block[reader.at]
        if first & 0x80:
            index = reader.integer(7)
            _check_index(index, least=1)
            if index in STATUSES:
                yield STATIC_NAMES[index], STATUSES[index]
        elif first & 0xE0 == 0x20:
            if reader.integer(5):
                raise HeaderError("a table that was not allowed")
        else:
            index = reader.integer(6 if first & 0x40 else 4)
            _check_index(index, least=0)
            name = STATIC_NAMES.get(index, b"") if index else reader.text()
            value = reader.text()
            if name:
                yield name, value


def _check_index(index: int, least: int) -> None:
    if not least <= index <= STATIC_ENTRIES:
        raise HeaderError(f"an unknown entry {index} of the table")


class _Reader:
    def __init__(self, block: bytes) -> None:
        self._block = block
        self.at = 0

    @property
    def has_more(self) -> bool:
        return self.at < len(self._block)

    def _byte(self) -> int:
        if not self.has_more:
            raise HeaderError("a field that is cut off")
        self.at += 1
        return self._block[self.at - 1]

    def integer(self, bits: int) -> int:
        """Read an integer that begins with the last `bits` bits of the next byte."""
        most = (1 << bits) - 1
        value = self._byte() & most
        if value < most:
            return value
        shift = 0
        while value < LARGEST:
            byte = self._byte()
            value += (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
            if shift > 28:
                break
        raise HeaderError("a number that is too large")

    def text(self) -> bytes:
        is_huffman = self.has_more and self._block[self.at] & 0x80
        size = self.integer(7)
        end = self.at + size
        if end > len(self._block):
            raise HeaderError("a text that is cut off")
        text, self.at = self._block[self.at : end], end
        return _decode_huffman(text) if is_huffman else text


@cache
def _huffman_symbols() -> dict[tuple[int, int], int]:
    """Return the symbols by the number and the value of their bits. Few servers use this code."""
    symbols: dict[tuple[int, int], int] = {}
    code, before = 0, 0
    for bits, symbol in sorted((bits, symbol) for symbol, bits in enumerate(HUFFMAN_BITS)):
        code <<= bits - before
        symbols[bits, code] = symbol
        code, before = code + 1, bits
    return symbols


def _decode_huffman(text: bytes) -> bytes:
    symbols = _huffman_symbols()
    decoded = bytearray()
    bits, code = 0, 0
    for byte in text:
        for position in range(7, -1, -1):
            bits, code = bits + 1, code << 1 | (byte >> position & 1)
            symbol = symbols.get((bits, code))
            if symbol == END_SYMBOL:
                raise HeaderError("a text with the symbol of its end")
            if symbol is not None:
                decoded.append(symbol)
                bits, code = 0, 0
    # The rest of the last byte is filled with ones.
    if bits > PADDING_BITS or code != (1 << bits) - 1:
        raise HeaderError("a text with wrong padding")
    return bytes(decoded)
