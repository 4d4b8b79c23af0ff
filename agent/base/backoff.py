"""Waiting between attempts."""

import asyncio
import contextlib
import random


class Backoff:
    """Random delays that grow with each attempt, so that agents do not all reconnect at once."""

    def __init__(self, *, first: float, most: float) -> None:
        """Begin with a delay of up to `first` seconds. Double it each time, up to `most`."""
        self._first = first
        self._most = most
        self._limit = first

    def next(self) -> float:
        """Return the seconds to wait before the next attempt."""
        delay = random.uniform(0, self._limit)  # noqa: S311  # spreads load
        self._limit = min(self._limit * 2, self._most)
        return delay

    def reset(self) -> None:
        """Begin again after an attempt that succeeded."""
        self._limit = self._first


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set, or after some seconds."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
