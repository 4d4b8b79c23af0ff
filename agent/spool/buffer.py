"""Memory in front of the spool."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

from agent.spool import codec
from agent.spool.batch import Room
from agent.spool.id_ranges import IdRanges
from agent.spool.models import (
    Acceptance,
    Commit,
    Item,
    Kind,
    Limits,
    LossReport,
    Measurement,
    Span,
)

COMMIT_ITEMS = 500
# Limits of the changes that wait for a commit. Beyond them, the spool keeps items longer than needed.
REMOVED_LIMIT = 1_000  # ranges of each kind
REMOVED_SEQUENCES_LIMIT = 10_000
ACCEPTED_LIMIT = 1_000  # batches


class Buffer:
    """Items and changes that the spool has not stored yet.

    `commit` returns the next ones without forgetting them, and `forget` forgets those that the
    spool has stored. A commit that fails needs no further action.
    """

    def __init__(self, limits: Limits, stored: Iterable[Span] | None = None) -> None:
        """Begin without items. `stored` are the spans in the spool, if one was opened."""
        self._limits = limits
        self._items: dict[tuple[Kind, int], Item] = {}  # oldest first
        self._held = 0  # bytes
        self._last_ids = dict.fromkeys(Kind, 0)
        for span in stored or ():
            self._last_ids[span.kind] = max(self._last_ids[span.kind], span.last)
        self.has_spool = stored is not None
        self._removed = {kind: IdRanges() for kind in Kind}
        self._removed_sequences: dict[int, None] = {}
        self._accepted: dict[int, Acceptance] = {}  # by sequence
        self._reports: dict[int, LossReport] = {}  # by id
        self._settled_reports: dict[int, None] = {}

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items.values())

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items)

    def __contains__(self, item: Item) -> bool:
        return (item.kind, item.id) in self._items

    @property
    def held(self) -> int:
        """Bytes that the items take in memory, roughly."""
        return self._held

    def is_too_large(self) -> bool:
        return len(self) > self._limits.memory_items or self._held > self._limits.memory_bytes

    def add(self, kind: Kind, time: int, measurements: Sequence[Measurement]) -> Item:
        """Number the measurements as the next item of their kind."""
        self._last_ids[kind] += 1
        item = Item(
            kind=kind,
            id=self._last_ids[kind],
            time=time,
            count=len(measurements),
            size=codec.size_in_message(measurements),
            content=tuple(measurements),
        )
        self._put(item)
        return item

    def take_over(self, item: Item, *, renumber: bool) -> Item:
        """Add an item of another buffer, compressed. Return it with the id that it has now."""
        number = self._last_ids[item.kind] + 1 if renumber else item.id
        self._last_ids[item.kind] = max(self._last_ids[item.kind], number)
        item = dataclasses.replace(item, id=number, content=codec.pack(item))
        self._put(item)
        return item

    def compress(self, item: Item) -> None:
        """Keep the item in less memory, if the spool has not stored it yet."""
        if item in self and not isinstance(item.content, bytes):
            self._put(dataclasses.replace(item, content=codec.pack(item)))

    def first_id(self, span: Span) -> int | None:
        """Return the lowest id of an item in the span."""
        numbers = (
            number
            for kind, number in self._items
            if kind is span.kind and span.first <= number <= span.last
        )
        return min(numbers, default=None)

    def run(self, span: Span, room: Room) -> list[Item]:
        """Return the first items of the span, up to one that is missing or does not fit."""
        found: list[Item] = []
        for number in range(span.first, span.last + 1):
            item = self._items.get((span.kind, number))
            if item is None or not room.admits(item):
                break
            found.append(item)
        return found

    def remove(self, span: Span) -> None:
        """Remove items from memory, and from the spool with the next commit."""
        self.release(span)
        if self.has_spool:
            removed = self._removed[span.kind]
            removed.add(span.first, span.last)
            removed.drop_oldest(REMOVED_LIMIT)

    def release(self, span: Span) -> None:
        """Remove items from memory."""
        for number in range(span.first, span.last + 1):
            self._pop(span.kind, number)

    def accept(self, acceptance: Acceptance) -> None:
        """Leave accepted items to the spool, or release them if there is no spool."""
        if self.has_spool and len(self._accepted) < ACCEPTED_LIMIT:
            self._accepted[acceptance.sequence] = acceptance
        else:
            self.release(acceptance.span)

    def release_accepted(self) -> bool:
        """Remove items from memory that JetStream has. Return True if there were any."""
        before = len(self)
        for acceptance in self._accepted.values():
            self.release(acceptance.span)
        return len(self) < before

    def remove_accepted(self, sequence: int) -> None:
        """Remove items that the spool keeps as accepted with this batch."""
        if acceptance := self._accepted.pop(sequence, None):
            self.remove(acceptance.span)
        elif self.has_spool and len(self._removed_sequences) < REMOVED_SEQUENCES_LIMIT:
            self._removed_sequences[sequence] = None

    def save_report(self, report: LossReport) -> None:
        self._reports[report.id] = report

    def remove_report(self, number: int) -> None:
        self._reports.pop(number, None)
        if self.has_spool:
            self._settled_reports[number] = None

    def commit(self, held: tuple[Span, ...], in_jetstream: tuple[Span, ...]) -> Commit:
        """Return the oldest items, and the changes of items that the spool has after this commit."""
        items = tuple(itertools.islice(self._items.values(), COMMIT_ITEMS))
        return Commit(
            items=items,
            accepted=tuple(self._accepted_among(items)) if self._accepted else (),
            removed=tuple(
                Span(kind, first, last)
                for kind, ranges in self._removed.items()
                for first, last in ranges
            ),
            removed_sequences=tuple(self._removed_sequences),
            reports=tuple(self._reports.values()),
            settled_reports=tuple(self._settled_reports),
            held=held,
            in_jetstream=in_jetstream,
        )

    def _accepted_among(self, items: Sequence[Item]) -> Iterator[Acceptance]:
        """Yield the acceptances of these items and of earlier ones."""
        left = dict.fromkeys(Kind, math.inf)
        for kind, number in itertools.islice(self._items, len(items), None):
            left[kind] = min(left[kind], number)
        for acceptance in self._accepted.values():
            if acceptance.span.last < left[acceptance.span.kind]:
                yield acceptance

    def forget(self, commit: Commit, *, with_items: bool) -> None:
        """Forget what the spool has stored, except for changes since then."""
        if with_items:
            for item in commit.items:
                self._pop(item.kind, item.id)
        for span in commit.removed:
            self._removed[span.kind].discard(span.first, span.last)
        for sequence in commit.removed_sequences:
            self._removed_sequences.pop(sequence, None)
        for acceptance in commit.accepted:
            self._accepted.pop(acceptance.sequence, None)
        for report in commit.reports:
            if self._reports.get(report.id) is report:
                del self._reports[report.id]
        for number in commit.settled_reports:
            self._settled_reports.pop(number, None)

    def _put(self, item: Item) -> None:
        """Add the item, or replace it at its place."""
        key = item.kind, item.id
        if replaced := self._items.get(key):
            self._held -= replaced.held
        self._items[key] = item
        self._held += item.held

    def _pop(self, kind: Kind, number: int) -> None:
        if item := self._items.pop((kind, number), None):
            self._held -= item.held
