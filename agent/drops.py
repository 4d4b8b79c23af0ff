import logging
from collections.abc import Iterable

from agent.items import Drop, Kind, Reason
from agent.seldom import Seldom
from flotilla.v1.metrics_pb2 import DropReport

log = logging.getLogger(__name__)

PERIOD = 60.0  # seconds
WORDS = {
    Reason.SPACE: "the spool is full",
    Reason.AGE: "they are too old",
    Reason.MEMORY: "the disk takes nothing and memory is full",
    Reason.REFUSED: "the server refuses them",
    Reason.DAMAGED: "the spool was damaged",
}
HEADER_LIMIT = 8  # reports in a batch
LIMIT = 64  # stretches kept until the server knows of them
MOST = (1 << 63) - 1
LATEST = 253_402_300_799_000  # Unix milliseconds; the end of the year 9999


class Drops:
    """What was given up, in stretches, until the server knows of each."""

    def __init__(self) -> None:
        self.count = 0  # snapshots and metrics since the start
        self.changed: dict[int, Drop] = {}  # not yet on the disk
        self._drops: dict[int, Drop] = {}
        self._under_way: set[int] = set()
        self._last = 0
        self._reserved = 0  # the first id of those that no commit has used; 0 without
        self._may_log = Seldom(PERIOD)
        self._may_report = Seldom(PERIOD)

    def adopt(self, kept: Iterable[Drop], *, same: bool, after: int) -> None:
        """Go on from what a spool knows; in another than before, its numbers come first.

        New ones get numbers beyond `after`, which none of an earlier start had.
        """
        mine, self._drops = self._drops, {drop.id: drop for drop in kept}
        self._under_way.clear()
        self._reserved = 0
        if same:
            self._drops.update(mine)
            return
        self._last = max(after, *self._drops, 0)
        self.changed.clear()
        for drop in mine.values():
            self._open(drop.reason, drop.kind, drop.count, drop.first, drop.last)

    def reserve(self) -> int:
        """The first of as many ids as one commit may need for what the quota takes."""
        if not self._reserved:
            self._reserved, self._last = self._last + 1, self._last + len(Reason) * len(Kind)
        return self._reserved

    def take(self, drop: Drop) -> list[int]:
        """One that is on the disk already; which of those there this makes superfluous."""
        self._reserved = 0
        self._count(drop.reason, drop.count)
        grown = self._growing(drop.reason, drop.kind)
        if grown is None:
            self._drops[drop.id] = drop
            return []
        self._grow(grown, drop.count, drop.first, drop.last)
        return [drop.id]

    def lost(self, reason: Reason, kind: Kind, count: int, first: int, last: int) -> None:
        self._count(reason, count)
        if drop := self._growing(reason, kind):
            self._grow(drop, count, first, last)
        else:
            self._open(reason, kind, count, first, last)

    def _count(self, reason: Reason, count: int) -> None:
        self.count += count
        if self._may_log():
            log.warning("%s: measurements given up, %d so far", WORDS[reason], self.count)

    def _grow(self, drop: Drop, count: int, first: int, last: int) -> None:
        drop.grow(count, first, last)
        self.changed[drop.id] = drop

    def _growing(self, reason: Reason, kind: Kind) -> Drop | None:
        same = [d for d in self._drops.values() if (d.reason, d.kind) == (reason, kind)]
        free = [drop for drop in same if drop.id not in self._under_way]
        if free or not same:
            return free[-1] if free else None
        # Beyond the limit one that is being told grows too: the server may learn less.
        return same[-1] if len(self._drops) >= LIMIT else None

    def _open(self, reason: Reason, kind: Kind, count: int, first: int, last: int) -> None:
        self._last += 1
        drop = Drop(self._last, reason, kind, count, first, last)
        self._drops[drop.id] = self.changed[drop.id] = drop

    def report(self) -> tuple[DropReport, ...]:
        """What the next batch shall tell; from then on each of these is under way."""
        waiting = [drop for drop in self._drops.values() if drop.id not in self._under_way]
        if not waiting or not self._may_report():
            return ()
        told = waiting[:HEADER_LIMIT]
        self._under_way.update(drop.id for drop in told)
        return tuple(_report(drop) for drop in told)

    def arrived(self, reports: Iterable[DropReport]) -> list[int]:
        """The server has these; which of them were known here."""
        known = [report.id for report in reports if self._drops.pop(report.id, None)]
        self._under_way.difference_update(known)
        for number in known:
            self.changed.pop(number, None)
        return known

    def stray(self, reports: Iterable[DropReport]) -> None:
        """The batch that carried these will not arrive."""
        self._under_way.difference_update(report.id for report in reports)


def _report(drop: Drop) -> DropReport:
    """Within what the server takes, whatever a damaged disk made of it."""
    first, last = (min(max(moment, 0), LATEST) for moment in (drop.first, drop.last))
    return DropReport(
        id=drop.id,
        reason=DropReport.Reason.Value(f"REASON_{drop.reason.name}"),
        kind=DropReport.Kind.Value(f"KIND_{drop.kind.name}"),
        count=min(max(drop.count, 0), MOST),
        first_unix_ms=min(first, last),
        last_unix_ms=last,
    )
