"""Limits for repeated log lines."""

import time


class LogThrottle:
    """Callable that returns True at the first call, and then once in each period (seconds)."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._next = -period

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._period
        return True
