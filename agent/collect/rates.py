from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


class Rates(Generic[Name]):
    """Computes rates per second from growing counters."""

    def __init__(self) -> None:
        self._counters: dict[Name, int] = {}
        self._time = 0.0

    def update(self, counters: Mapping[Name, int], now: float) -> dict[Name, float]:
        """Return rates since the last update; `now` is the monotonic clock in seconds.

        A counter that is new, or that went back because it wrapped or was reset, has no rate.
        """
        elapsed = now - self._time
        rates = {
            name: (value - self._counters[name]) / elapsed
            for name, value in counters.items()
            if elapsed > 0 and value >= self._counters.get(name, value + 1)
        }
        self._counters = dict(counters)
        self._time = now
        return rates
