"""Parser for container logs, from the frames of the Docker engine to lines.

A frame is the number of a stream, three zero bytes, a length and the data. The log of a container
with a terminal has no frames. See https://docs.docker.com/reference/api/engine/, "Stream format".
"""

import re
import struct
from collections.abc import Iterator

LINE_LIMIT = 256 * 1024  # bytes; a longer line is split between characters
# Engines split a long line into frames whose text fills a buffer of whole pages. Only the last frame
# has a line end. A shorter frame without a line end is the end of a program's output.
PAGE = 4096  # bytes
TIME_LENGTH = 64  # bytes; the time at the start of a frame is shorter

_HEADER = struct.Struct(">BxxxL")
_STREAMS = {1: b"o", 2: b"e"}
_TIME = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) ")
_NO_TIME = b"-"


class LogParser:
    """Splits a log that arrives in chunks into lines of `<time or -> <o|e> <text>`."""

    def __init__(self, *, framed: bool) -> None:
        self._framed = framed
        self._received = bytearray()
        self._lines = {name: _Line(name) for name in _STREAMS.values()}
        self._line = self._lines[b"o"]
        self._frame_left = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not self._framed:
            yield from self._line.add(data)
            return
        self._received += data
        while self._received:
            if not self._frame_left:
                if len(self._received) < _HEADER.size:
                    return
                number, self._frame_left = _HEADER.unpack_from(self._received)
                del self._received[: _HEADER.size]
                self._line = self._lines[_STREAMS.get(number, b"o")]
                self._line.begin_frame()
                continue
            piece = bytes(self._received[: self._frame_left])
            del self._received[: len(piece)]
            self._frame_left -= len(piece)
            yield from self._line.add(piece)
            if not self._frame_left:
                yield from self._line.end_frame()

    def finish(self) -> Iterator[bytes]:
        """Yield the last line of each stream, if it has no line end."""
        for line in self._lines.values():
            yield from line.finish()


class _Line:
    """The unfinished line of one stream."""

    def __init__(self, stream: bytes) -> None:
        self._stream = stream
        self._text = bytearray()
        self._time: bytes | None = None  # time of the line; None until its first bytes arrive
        self._head: bytearray | None = bytearray()  # the start of a frame, which may be its time
        self._frame_size = 0  # bytes of text since the start of the frame

    def begin_frame(self) -> None:
        self._head = bytearray()
        self._frame_size = 0

    def add(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._head is not None:
                data = self._take_head(data)
                continue
            part, ended, data = data.partition(b"\n")
            self._text += part
            self._frame_size += len(part)
            yield from self._split()
            if ended:
                yield self._next()
                # The next line of the same frame, or of a terminal, begins with its time.
                self._head = bytearray()

    def end_frame(self) -> Iterator[bytes]:
        yield from self._finish_head()
        is_cut = self._frame_size >= PAGE and self._frame_size % PAGE == 0
        if not is_cut:
            yield from self.finish()

    def finish(self) -> Iterator[bytes]:
        yield from self._finish_head()
        if self._text or self._time is not None:
            yield self._next()

    def _take_head(self, data: bytes) -> bytes:
        """Add to the head until its time is complete; return the bytes after the time."""
        assert self._head is not None
        self._head += data
        if len(self._head) < TIME_LENGTH and b"\n" not in self._head:
            return b""
        return self._without_time()

    def _without_time(self) -> bytes:
        head, self._head = bytes(self._head or b""), None
        stamped = _TIME.match(head)
        if self._time is None:
            self._time = stamped[1] if stamped else _NO_TIME
        return head[stamped.end() :] if stamped else head

    def _finish_head(self) -> Iterator[bytes]:
        if self._head:
            rest = self._without_time()
            self._text += rest
            self._frame_size += len(rest)
            yield from self._split()
        self._head = None

    def _split(self) -> Iterator[bytes]:
        while len(self._text) > LINE_LIMIT:
            end = LINE_LIMIT
            while end > LINE_LIMIT - 4 and self._text[end] & 0xC0 == 0x80:  # inside a character
                end -= 1
            time, beyond = self._time, self._text[end:]
            del self._text[end:]
            yield self._next()
            self._text, self._time = beyond, time

    def _next(self) -> bytes:
        text = bytes(self._text).removesuffix(b"\r")
        time = self._time or _NO_TIME
        self._text.clear()
        self._time = None
        return b"%b %b %b\n" % (time, self._stream, text)
