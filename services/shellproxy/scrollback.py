"""The end of a terminal's output, kept for viewers that attach later.

Older output is discarded up to a place where a terminal can start to read: between characters and
between escape sequences (ECMA-48, and xterm's control sequences).
"""

import re

LIMIT = 256 * 1024  # bytes
# Bytes discarded at once. Each cut has to search for a place, so cuts are rare.
STRIDE = 32 * 1024
RESET = b"\x1bc"

ESCAPE = 0x1B
# Complete sequences, or sequences that are interrupted by another ESC.
_SEQUENCE = re.compile(
    rb"\x1b(?:"
    rb"\[[^\x40-\x7e\x18\x1a\x1b]*(?:[\x40-\x7e\x18\x1a]|(?=\x1b))"  # CSI
    rb"|\][^\x07\x18\x1a\x1b]*(?:[\x07\x18\x1a]|\x1b\\|(?=\x1b))"  # OSC
    rb"|[PX^_][^\x18\x1a\x1b]*(?:[\x18\x1a]|\x1b\\|(?=\x1b))"  # DCS, SOS, PM, APC
    rb"|[\x20-\x2f]+[^\x20-\x2f]"
    rb"|[^\x20-\x2f\[\]PX^_])",
    re.DOTALL,
)
# Prefixes that put a terminal back inside an escape sequence whose start was discarded.
_OPENING = {b"[": b"\x1b[", b"]": b"\x1b]"} | dict.fromkeys((b"P", b"X", b"^", b"_"), b"\x1b_")

_MODES = re.compile(rb"\x1bc|\x1b\[!p|\x1b\[\?([0-9;]{1,64})([hl])")
# Private modes that programs leave set, with their state after a reset: cursor keys, wrapping,
# cursor, mouse, focus, alternate screen, bracketed paste.
_SET_BY_DEFAULT = (b"7", b"25")
_UNSET_BY_DEFAULT = (
    b"1",
    b"9",
    b"47",
    b"1000",
    b"1002",
    b"1003",
    b"1004",
    b"1005",
    b"1006",
    b"1015",
    b"1047",
    b"1049",
    b"2004",
)
_DEFAULTS = dict.fromkeys(_SET_BY_DEFAULT, b"h") | dict.fromkeys(_UNSET_BY_DEFAULT, b"l")


class Scrollback:
    def __init__(self, limit: int = LIMIT) -> None:
        self._data = bytearray()
        self._limit = limit
        self._stride = min(STRIDE, limit // 2)
        self._opening = b""
        self._modes: dict[bytes, bytes] = {}
        self.start = 0
        """Offset in the output of the first byte that is kept."""

    @property
    def end(self) -> int:
        return self.start + len(self._data)

    def append(self, data: bytes, *, needed_from: int | None = None) -> None:
        """Add output. Discard the oldest output, but nothing at or after the offset `needed_from`."""
        self._data += data
        excess = len(self._data) - self._limit + self._stride
        if excess > self._stride and (needed_from is None or self.start + excess <= needed_from):
            self._discard(excess)

    def read(self, offset: int, limit: int) -> bytes:
        begin = offset - self.start
        return bytes(self._data[begin : begin + limit])

    def preamble(self) -> bytes:
        """Return bytes that put any terminal into the state in which the kept output starts."""
        modes = b"".join(b"\x1b[?%b%b" % (mode, state) for mode, state in self._modes.items())
        return RESET + modes + self._opening

    def _discard(self, count: int) -> None:
        """Discard at least `count` bytes, and remember the modes that were set in them."""
        whole = self._opening + self._data
        prefix = len(self._opening)
        cut, self._opening = safe_cut(whole, prefix + count)
        for match in _MODES.finditer(whole, 0, cut):
            if match[1] is None:
                self._modes.clear()
                continue
            for mode in match[1].split(b";"):
                if mode in _DEFAULTS:
                    self._modes.pop(mode, None)
                    if match[2] != _DEFAULTS[mode]:
                        self._modes[mode] = match[2]
        self.start += cut - prefix
        del self._data[: cut - prefix]


def safe_cut(data: bytes, at: int) -> tuple[int, bytes]:
    """Return the first offset from `at` on at which a terminal may start, and its prefix.

    The prefix is empty unless an escape sequence starts before `at` and has not ended yet.
    """
    # An ESC starts a sequence, whatever came before it.
    begun = data.rfind(ESCAPE, 0, at)
    if begun >= 0:
        match = _SEQUENCE.match(data, begun)
        if match is None:
            return at, _OPENING.get(data[begun + 1 : begun + 2], b"")
        at = max(at, match.end())
    for cut in range(at, min(at + 4, len(data))):
        if data[cut] & 0xC0 != 0x80:  # not a continuation byte of UTF-8
            return cut, b""
    return min(at, len(data)), b""
