"""The rate limit of a terminal's output while nobody controls the session."""

RATE = 256 * 1024  # bytes per second


class OutputBudget:
    """Bytes of output that may be acknowledged while nobody controls the session.

    The budget grows by `RATE`, up to the amount of one second. Times are in seconds of the
    monotonic clock.
    """

    def __init__(self, now: float) -> None:
        self._bytes = 0.0
        self._at = now

    def available(self, now: float) -> int:
        self._bytes = min(self._bytes + RATE * (now - self._at), RATE)
        self._at = now
        return int(self._bytes)

    def spend(self, size: int) -> None:
        self._bytes = max(self._bytes - size, 0.0)
