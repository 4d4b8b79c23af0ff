"""The end of a terminal's output, for screens that come later.

What is forgotten is cut off where a terminal may begin to read: between characters and
between escape sequences (ECMA-48, and xterm's control sequences).
"""

import re

LIMIT = 256 * 1024  # bytes
STRIDE = 32 * 1024  # bytes; forgotten at once, for each cut has to look for its place
RESET = b"\x1bc"

ESCAPE = 0x1B
# Whole sequences, or those that an ESC breaks off.
_SEQUENCE = re.compile(
    rb"\x1b(?:"
    rb"\[[^\x40-\x7e\x18\x1a\x1b]*(?:[\x40-\x7e\x18\x1a]|(?=\x1b))"  # CSI
    rb"|\][^\x07\x18\x1a\x1b]*(?:[\x07\x18\x1a]|\x1b\\|(?=\x1b))"  # OSC
    rb"|[PX^_][^\x18\x1a\x1b]*(?:[\x18\x1a]|\x1b\\|(?=\x1b))"  # DCS, SOS, PM, APC
    rb"|[\x20-\x2f]+[^\x20-\x2f]"
    rb"|[^\x20-\x2f\[\]PX^_])",
    re.DOTALL,
)
# What has a terminal take the rest of a sequence, whose beginning is forgotten, for one still.
_OPENING = {b"[": b"\x1b[", b"]": b"\x1b]"} | dict.fromkeys((b"P", b"X", b"^", b"_"), b"\x1b_")

_MODES = re.compile(rb"\x1bc|\x1b\[!p|\x1b\[\?([0-9;]{1,64})([hl])")
# Private modes that programs leave behind on the screen, with what a reset makes of them:
# cursor keys, wrapping, cursor, mouse, focus, alternate screen, bracketed paste.
_DEFAULTS = dict.fromkeys((b"7", b"25"), b"h") | dict.fromkeys(
    (
        *(b"47", b"1047", b"1049", b"1", b"9"),
        *(b"1000", b"1002", b"1003", b"1004", b"1005", b"1006", b"1015", b"2004"),
    ),
    b"l",
)


class Scrollback:
    def __init__(self, limit: int = LIMIT) -> None:
        self._data = bytearray()
        self._limit = limit
        self._stride = min(STRIDE, limit // 2)
        self._opening = b""
        self._modes: dict[bytes, bytes] = {}
        self.start = 0
        """Bytes of output before what is kept."""

    @property
    def end(self) -> int:
        return self.start + len(self._data)

    def append(self, data: bytes, *, needed_from: int | None = None) -> None:
        """What is needed still is kept beyond the limit."""
        self._data += data
        least = len(self._data) - self._limit + self._stride
        if least > self._stride and (needed_from is None or self.start + least <= needed_from):
            self._forget(least)

    def read(self, offset: int, most: int) -> bytes:
        begin = offset - self.start
        return bytes(self._data[begin : begin + most])

    def preamble(self) -> bytes:
        """Makes any terminal ready for what is kept."""
        modes = b"".join(b"\x1b[?%b%b" % (mode, state) for mode, state in self._modes.items())
        return RESET + modes + self._opening

    def _forget(self, least: int) -> None:
        whole = self._opening + self._data
        known = len(self._opening)
        cut, self._opening = safe_cut(whole, known + least)
        for match in _MODES.finditer(whole, 0, cut):
            if match[1] is None:
                self._modes.clear()
                continue
            for mode in match[1].split(b";"):
                if mode in _DEFAULTS:
                    self._modes.pop(mode, None)
                    if match[2] != _DEFAULTS[mode]:
                        self._modes[mode] = match[2]
        self.start += cut - known
        del self._data[: cut - known]


def safe_cut(data: bytes, at: int) -> tuple[int, bytes]:
    """Where, not before `at`, a terminal may begin, and what it has to be told first.

    That is nothing, but for a sequence that began before and has not ended yet.
    """
    # An ESC begins anew, whatever came before it.
    begun = data.rfind(ESCAPE, 0, at)
    if begun >= 0:
        match = _SEQUENCE.match(data, begun)
        if match is None:
            return at, _OPENING.get(data[begun + 1 : begun + 2], b"")
        at = max(at, match.end())
    for cut in range(at, min(at + 4, len(data))):
        if data[cut] & 0xC0 != 0x80:  # no continuation byte of UTF-8
            return cut, b""
    return min(at, len(data)), b""
