from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


class Rates(Generic[Name]):
    """Growing counters in, what each grew by per second out."""

    def __init__(self) -> None:
        self._counters: dict[Name, int] = {}
        self._time = 0.0

    def update(self, counters: Mapping[Name, int], now: float) -> dict[Name, float]:
        """Rates since the update before; `now` is of the monotonic clock.

        A counter that was not there, or that went backwards because it wrapped or
        was reset, has no rate this time.
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
