"""Frames of HTTP/2 (RFC 9113), as far as a client with one stream needs them."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    *(0, 1, 3, 4, 5),
    *(6, 7, 8, 9),
)
# Flags. END_STREAM of data and headers has the same value as ACK of settings and pings.
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
# Settings
HEADER_TABLE_SIZE, ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE = 1, 2, 4, 6
DEFAULT_WINDOW = 65_535  # bytes
LARGEST_WINDOW = (1 << 31) - 1  # bytes
FRAME_LIMIT = 16_384  # bytes of a frame that every peer accepts
HEADER_SIZE = 9  # bytes


class FrameError(Exception):
    """The peer broke a rule of HTTP/2. The text says which one."""


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


def build(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return struct.pack(">BHBBI", size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def build_settings(settings: dict[int, int]) -> bytes:
    payload = b"".join(struct.pack(">HI", name, value) for name, value in settings.items())
    return build(SETTINGS, 0, 0, payload)


def build_window_update(stream: int, size: int) -> bytes:
    return build(WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


def parse_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """Yield names and values.

    Raises:
        FrameError: The payload is malformed.
    """
    if len(payload) % 6:
        raise FrameError(f"settings of {len(payload)} bytes")
    yield from struct.iter_unpack(">HI", payload)


def parse_number(payload: bytes) -> int:
    """Return the number of 31 bits in a payload of four bytes.

    Raises:
        FrameError: The payload has another size.
    """
    if len(payload) != 4:
        raise FrameError(f"a number of {len(payload)} bytes")
    return int.from_bytes(payload, "big") & LARGEST_WINDOW


def unpadded(frame: Frame) -> bytes:
    """Return the payload of a data or headers frame without padding and priority.

    Raises:
        FrameError: The padding is longer than the frame.
    """
    start, end = 0, len(frame.payload)
    if frame.flags & PADDED:
        start, end = 1, end - (frame.payload[0] if frame.payload else 1)
    if frame.kind == HEADERS and frame.flags & PRIORITY:
        start += 5
    if end < start:
        raise FrameError("padding that is longer than its frame")
    return frame.payload[start:end]


class FrameReader:
    """Cuts received bytes into frames."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete now.

        Raises:
            FrameError: A frame is larger than this client allows.
        """
        self._received += data
        at = 0
        try:
            while len(self._received) - at >= HEADER_SIZE:
                high, low, kind, flags, stream = struct.unpack_from(">BHBBI", self._received, at)
                size = high << 16 | low
                if size > FRAME_LIMIT:
                    raise FrameError(f"a frame of {size} bytes")
                start = at + HEADER_SIZE
                if len(self._received) - start < size:
                    break
                at = start + size
                payload = bytes(self._received[start:at])
                yield Frame(kind, flags, stream & LARGEST_WINDOW, payload)
        finally:
            del self._received[:at]
