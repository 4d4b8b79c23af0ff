"""Reliable byte streams over a transport that may lose or repeat messages.

Each message carries the offset of its bytes. The sender keeps bytes until they are acknowledged.
"""

import math
import time

from services.kit.backoff import backoff

# Seconds without an acknowledgement until everything that is in flight is sent again.
RESEND_FIRST, RESEND_MOST = 1.0, 8.0


class SendWindow:
    """Bytes that wait to be sent or acknowledged."""

    def __init__(self, *, capacity: int, in_flight: int) -> None:
        """`capacity` limits the stored bytes, `in_flight` the sent bytes without acknowledgement."""
        self._data = bytearray()
        self._capacity = capacity
        self._in_flight = in_flight
        self._sent = 0
        self._delays = backoff(RESEND_FIRST, RESEND_MOST)
        self._overdue_at = 0.0
        self.acknowledged = 0

    @property
    def waiting(self) -> int:
        """Number of bytes that are not acknowledged."""
        return len(self._data)

    def put(self, data: bytes) -> bool:
        """Add bytes to send; return False and add nothing if there is no room for all of them."""
        if len(self._data) + len(data) > self._capacity:
            return False
        if not self._data:
            self._restart_timer()
        self._data += data
        return True

    def next(self, limit: int) -> tuple[int, bytes] | None:
        """Return offset and bytes of the next message, or None if nothing may be sent now."""
        limit = min(limit, self.acknowledged + self._in_flight - self._sent)
        begin = self._sent - self.acknowledged
        data = bytes(self._data[begin : begin + limit]) if limit > 0 else b""
        if not data:
            return None
        offset, self._sent = self._sent, self._sent + len(data)
        return offset, data

    def acknowledge(self, offset: int) -> bool:
        """Discard the bytes before `offset`; return False if they were discarded before."""
        if not self.acknowledged < offset <= self.acknowledged + len(self._data):
            return False
        del self._data[: offset - self.acknowledged]
        self.acknowledged = offset
        self._sent = max(self._sent, offset)
        self._restart_timer()
        return True

    def overdue_at(self) -> float:
        """Return the monotonic time at which the bytes in flight count as lost."""
        return self._overdue_at if self._data else math.inf

    def rewind(self) -> bool:
        """Send everything again that is in flight; return True if anything is."""
        self._overdue_at = time.monotonic() + next(self._delays)
        lost = self._sent > self.acknowledged
        self._sent = self.acknowledged
        return lost

    def _restart_timer(self) -> None:
        self._delays = backoff(RESEND_FIRST, RESEND_MOST)
        self._overdue_at = time.monotonic() + next(self._delays)


class ReceiveWindow:
    def __init__(self) -> None:
        self.received = 0

    def take(self, offset: int, data: bytes) -> bytes | None:
        """Return the bytes that are new, or None if bytes before them are missing."""
        if offset > self.received:
            return None
        fresh = data[self.received - offset :]
        self.received += len(fresh)
        return fresh
