"""Sets of item ids, kept as ranges."""

from collections.abc import Iterator


class IdRanges:
    """Set of ids in ascending order. Ids that follow each other take the space of one."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the first and the last id of each range."""
        return iter(self._ranges)

    def __len__(self) -> int:
        """Return the number of ranges."""
        return len(self._ranges)

    def add(self, first: int, last: int) -> None:
        joined: list[tuple[int, int]] = []
        for begin, end in sorted([*self._ranges, (first, last)]):
            if joined and begin <= joined[-1][1] + 1:
                joined[-1] = joined[-1][0], max(joined[-1][1], end)
            else:
                joined.append((begin, end))
        self._ranges = joined

    def discard(self, first: int, last: int) -> None:
        left: list[tuple[int, int]] = []
        for begin, end in self._ranges:
            if begin < first:
                left.append((begin, min(end, first - 1)))
            if end > last:
                left.append((max(begin, last + 1), end))
        self._ranges = left

    def join_closest(self, limit: int) -> None:
        """Add the ids between the closest ranges until there are at most `limit` ranges."""
        while len(self._ranges) > limit:
            gaps = range(1, len(self._ranges))
            closest = min(gaps, key=lambda at: self._ranges[at][0] - self._ranges[at - 1][1])
            (begin, _), (_, end) = self._ranges[closest - 1 : closest + 1]
            self._ranges[closest - 1 : closest + 1] = [(begin, end)]

    def drop_oldest(self, limit: int) -> None:
        """Remove the lowest ids until there are at most `limit` ranges."""
        del self._ranges[: max(0, len(self._ranges) - limit)]
