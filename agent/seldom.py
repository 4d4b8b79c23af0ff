import time


class Seldom:
    """True the first time it is called, and then once in each period."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._next = -period

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._period
        return True
