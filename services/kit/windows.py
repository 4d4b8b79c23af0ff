"""Bytes over a way that may lose or double them: told apart by their offset, sent until acknowledged."""

import math
import time

RESEND_FIRST, RESEND_MOST = 1.0, 8.0  # seconds without progress until all is sent again


class SendWindow:
    """What was given to be sent and not acknowledged yet."""

    def __init__(self, *, capacity: int, in_flight: int) -> None:
        self._data = bytearray()
        self._capacity = capacity
        self._in_flight = in_flight
        self._sent = 0
        self._patience = RESEND_FIRST
        self._overdue_at = 0.0
        self.acknowledged = 0

    @property
    def waiting(self) -> int:
        """Bytes."""
        return len(self._data)

    def put(self, data: bytes) -> bool:
        """Whether there was room; if not, nothing of it was taken."""
        if len(self._data) + len(data) > self._capacity:
            return False
        if not self._data:
            self._progress()
        self._data += data
        return True

    def next(self, most: int) -> tuple[int, bytes] | None:
        """Offset and bytes of what may be sent now."""
        most = min(most, self.acknowledged + self._in_flight - self._sent)
        begin = self._sent - self.acknowledged
        data = bytes(self._data[begin : begin + most]) if most > 0 else b""
        if not data:
            return None
        offset, self._sent = self._sent, self._sent + len(data)
        return offset, data

    def acknowledge(self, offset: int) -> bool:
        """Forget what arrived; whether that was anything."""
        if not self.acknowledged < offset <= self.acknowledged + len(self._data):
            return False
        del self._data[: offset - self.acknowledged]
        self.acknowledged = offset
        self._sent = max(self._sent, offset)
        self._progress()
        return True

    def overdue_at(self) -> float:
        """When, of the monotonic clock, what was sent counts as lost."""
        return self._overdue_at if self._data else math.inf

    def rewind(self) -> bool:
        """Have all be sent again; whether anything was under way."""
        self._patience = min(2 * self._patience, RESEND_MOST)
        self._overdue_at = time.monotonic() + self._patience
        lost = self._sent > self.acknowledged
        self._sent = self.acknowledged
        return lost

    def _progress(self) -> None:
        self._patience = RESEND_FIRST
        self._overdue_at = time.monotonic() + RESEND_FIRST


class ReceiveWindow:
    def __init__(self) -> None:
        self.received = 0

    def take(self, offset: int, data: bytes) -> bytes | None:
        """What is new of it; None when bytes before it are missing."""
        if offset > self.received:
            return None
        fresh = data[self.received - offset :]
        self.received += len(fresh)
        return fresh
