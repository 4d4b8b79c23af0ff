"""Places that clients occupy before it is known who they are."""

from collections.abc import Hashable
from typing import Generic, TypeVar

Holder = TypeVar("Holder", bound=Hashable)


class FairPlaces(Generic[Holder]):
    """A limited number of places, of which no address can keep all.

    If all places are occupied, a new holder takes the place of the oldest holder of the address
    that has the most. `per_address` limits the places of one address.
    """

    def __init__(self, total: int, per_address: int) -> None:
        self._total = total
        self._per_address = per_address
        self._occupied = 0
        self._holders: dict[str, dict[Holder, None]] = {}  # by address, oldest first

    def __len__(self) -> int:
        return self._occupied

    def enter(self, address: str, holder: Holder) -> Holder | None:
        """Give a place to a holder; return the holder that has lost its place for it, if any."""
        displaced = None
        loser = self._next_loser(address)
        if loser is not None:
            displaced = next(iter(self._holders[loser]))
            self.leave(loser, displaced)
        self._holders.setdefault(address, {})[holder] = None
        self._occupied += 1
        return displaced

    def next_displaced(self, address: str) -> Holder | None:
        """Return the holder that a new one from this address would displace."""
        loser = self._next_loser(address)
        return None if loser is None else next(iter(self._holders[loser]))

    def leave(self, address: str, holder: Holder) -> None:
        """Free the place of a holder, unless it has lost it."""
        own = self._holders.get(address, {})
        if holder not in own:
            return
        del own[holder]
        self._occupied -= 1
        if not own:
            del self._holders[address]

    def _next_loser(self, address: str) -> str | None:
        if len(self._holders.get(address, ())) >= self._per_address:
            return address
        if self._occupied >= self._total:
            return max(self._holders, key=lambda name: len(self._holders[name]))
        return None
