import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from prometheus_client import Gauge

from services.gateway import errors

TRANSFERS = 16  # at once
# An agent does eight things at a time; half of them stay free for people.
LANES = 4

UNDER_WAY = Gauge("flotilla_transfers", "Uploads and downloads under way")


class Slots:
    """How many transfers are under way."""

    def __init__(self) -> None:
        self._taken = 0
        self._lanes: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def lanes(self, vps_id: str) -> asyncio.Semaphore:
        """To one agent, shared by all transfers with it."""
        lanes = self._lanes.get(vps_id)
        if lanes is None:
            lanes = self._lanes[vps_id] = asyncio.Semaphore(LANES)
        return lanes

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Raises: RequestError: all are."""
        if self._taken >= TRANSFERS:
            raise errors.busy(f"{TRANSFERS} uploads and downloads are under way here already.")
        self._taken += 1
        UNDER_WAY.set(self._taken)
        try:
            yield
        finally:
            self._taken -= 1
            UNDER_WAY.set(self._taken)
