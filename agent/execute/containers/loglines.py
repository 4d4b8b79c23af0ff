"""A container's log, from the engine's frames to lines.

A frame is a stream's number, three zero bytes, its length and its bytes; the log of a container
with a terminal has no frames. See https://docs.docker.com/reference/api/engine/, "Stream format".
"""

import re
import struct
from collections.abc import Iterator

# Bytes: the engine's own bound of a line's text, and its time. What is longer is told as several.
LINE_LIMIT = 16 * 1024 + 64

_HEADER = struct.Struct(">BxxxL")
_STREAMS = {1: b"o", 2: b"e"}
_TIME = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) ")
_NO_TIME = b"-"


class LogLines:
    """Takes bytes as they come; gives lines of `<time or -> <o|e> <text>`."""

    def __init__(self, *, framed: bool) -> None:
        self._framed = framed
        self._received = bytearray()
        self._stream = b"o"
        self._frame_left = 0
        self._line = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not self._framed:
            yield from self._split(data)
            return
        self._received += data
        while self._received:
            if not self._frame_left:
                if len(self._received) < _HEADER.size:
                    return
                number, self._frame_left = _HEADER.unpack_from(self._received)
                self._stream = _STREAMS.get(number, b"o")
                del self._received[: _HEADER.size]
                continue
            piece = bytes(self._received[: self._frame_left])
            del self._received[: len(piece)]
            self._frame_left -= len(piece)
            yield from self._split(piece)
            if not self._frame_left:
                # The engine ends a line's frame with the line, unless it was too long for one.
                yield from self.rest()

    def rest(self) -> Iterator[bytes]:
        """What came after the last line's end."""
        if self._line:
            yield self._finished()

    def _split(self, data: bytes) -> Iterator[bytes]:
        *ended, last = data.split(b"\n")
        for part in ended:
            self._line += part
            yield from self._overlong()
            yield self._finished()
        self._line += last
        yield from self._overlong()

    def _overlong(self) -> Iterator[bytes]:
        while len(self._line) > LINE_LIMIT:
            beyond = self._line[LINE_LIMIT:]
            del self._line[LINE_LIMIT:]
            yield self._finished()
            self._line = beyond

    def _finished(self) -> bytes:
        line = bytes(self._line).removesuffix(b"\r")
        self._line.clear()
        stamped = _TIME.match(line)
        time, text = (stamped[1], line[stamped.end() :]) if stamped else (_NO_TIME, line)
        return b"%b %b %b\n" % (time, self._stream, text)
