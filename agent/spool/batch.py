"""Batches and the search for their items."""

import dataclasses
import enum

from agent.spool.models import Item, Limits, Loss, LossReport, Reason, Span


class State(enum.Enum):
    """States of a batch. `Delivery` describes the transitions."""

    QUEUED = enum.auto()
    SENT = enum.auto()
    ACCEPTED = enum.auto()


@dataclasses.dataclass(slots=True)
class Batch:
    sequence: int
    span: Span
    live: bool
    items: list[Item]  # until they are accepted
    reports: tuple[LossReport, ...]
    state: State = State.QUEUED
    not_before: float = 0.0  # on the monotonic clock
    accepted_at: int = 0  # Unix seconds
    _accepted: Loss | None = None

    @property
    def size(self) -> int:
        return sum(item.size for item in self.items)

    def holds(self, item: Item) -> bool:
        return self.span.kind is item.kind and self.span.first <= item.id <= self.span.last

    def accept(self, accepted_at: int) -> None:
        """Release the items, because JetStream has stored them."""
        self.accepted_at = accepted_at
        self._accepted = self.loss()
        self.state = State.ACCEPTED
        self.items = []

    def loss(self) -> Loss:
        """Return the loss to report if the server refuses the batch."""
        return self._accepted or Loss.of(Reason.REFUSED, self.items)


class Room:
    """The space that is left in a batch."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._items = self._count = self._size = 0

    def admits(self, item: Item) -> bool:
        """Tell whether the next item fits, and reserve its space. The first one always fits."""
        items, count, size = self._items + 1, self._count + item.count, self._size + item.size
        if items > 1 and (
            items > self._limits.batch_items
            or count > self._limits.batch_count
            or size > self._limits.batch_bytes
        ):
            return False
        self._items, self._count, self._size = items, count, size
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class Search:
    """The next items of the backlog of one kind."""

    span: Span
    stored: Span | None  # the part of the span that is only in the spool
    room: Room
