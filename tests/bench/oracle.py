"""The fleet's own record, outside the system: its samples, and what the system acknowledged.

Each event is one record of fixed size, which is appended and never changed.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RECORD = struct.Struct("<IBqd")
FLUSH_BYTES = 64 * 1024
READ_BYTES = RECORD.size * 65_536


class Word(enum.IntEnum):
    COLLECTED = 0
    ACCEPTED = 1
    DURABLE = 2
    REFUSED = 3
    DROPPED = 4


@dataclass(frozen=True, slots=True)
class Record:
    index: int
    word: Word
    time_ms: int
    """Time of the measurement. Together with the index, it identifies the sample."""
    at: float
    """Monotonic time of the event, in seconds."""


class Oracle:
    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._buffer = bytearray()

    def note(self, index: int, word: int, time_ms: int, at: float) -> None:
        self._buffer += RECORD.pack(index, word, time_ms, at)
        if len(self._buffer) > FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._buffer:
            self._file.write(self._buffer)
            self._buffer.clear()

    def close(self) -> None:
        self.flush()
        self._file.close()


def read(path: Path) -> Iterator[Record]:
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            # A fleet that was killed may leave an incomplete record at the end.
            whole = len(chunk) - len(chunk) % RECORD.size
            for index, word, time_ms, at in RECORD.iter_unpack(chunk[:whole]):
                yield Record(index, Word(word), time_ms, at)
