"""Items that are in no batch yet."""

import itertools
from collections import deque
from collections.abc import Sequence

from agent.spool.batch import Room, Search
from agent.spool.buffer import Buffer
from agent.spool.id_ranges import IdRanges
from agent.spool.models import Item, Kind, Limits, Span

BACKLOG_RANGES = 32  # per kind; each interruption of the connection may add one


class Lanes:
    """The live lane, which holds items in memory, and the backlog, which holds only their ids."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._live: deque[Item] = deque()
        self._live_size = 0  # bytes
        self._backlog = {kind: IdRanges() for kind in Kind}

    @property
    def live(self) -> Sequence[Item]:
        return self._live

    @property
    def live_spans(self) -> list[Span]:
        spans: dict[tuple[Kind, int], Span] = {}  # by kind and the id after the span
        for item in self._live:
            before = spans.pop((item.kind, item.id), None)
            first = before.first if before else item.id
            spans[item.kind, item.id + 1] = Span(item.kind, first, item.id)
        return list(spans.values())

    @property
    def kinds_in_backlog(self) -> list[Kind]:
        return [kind for kind, ids in self._backlog.items() if ids]

    def add(self, item: Item) -> list[Item]:
        """Add the newest item to the live lane. Return the items that move to the backlog."""
        self._live.append(item)
        self._live_size += item.size
        late: list[Item] = []
        while (
            len(self._live) > self._limits.live_items or self._live_size > self._limits.live_bytes
        ):
            late.append(self._live[0])
            self._leave_live(self._live[0])
            self.add_to_backlog(Span(late[-1].kind, late[-1].id, late[-1].id))
        return late

    def take_live(self) -> list[Item]:
        """Remove and return the oldest items of the live lane that fit into a batch."""
        room = Room(self._limits)
        same = [item for item in self._live if item.kind is self._live[0].kind]
        taken = list(itertools.takewhile(room.admits, same))
        for item in taken:
            self._leave_live(item)
        return taken

    def add_to_backlog(self, span: Span) -> None:
        backlog = self._backlog[span.kind]
        backlog.add(span.first, span.last)
        # Joined ranges include the items between them, which may be sent twice.
        backlog.join_closest(BACKLOG_RANGES)

    def discard(self, item: Item) -> None:
        if item in self._live:
            self._leave_live(item)
        self._backlog[item.kind].discard(item.id, item.id)

    def _leave_live(self, item: Item) -> None:
        self._live.remove(item)
        self._live_size -= item.size

    def search(self, kind: Kind, buffer: Buffer) -> Search | None:
        """Return where the oldest items of the backlog are."""
        if not self._backlog[kind]:
            return None
        first, last = next(iter(self._backlog[kind]))
        young = buffer.first_id(Span(kind, first, last))
        stored = Span(kind, first, last if young is None else young - 1)
        return Search(
            span=Span(kind, first, last),
            stored=stored if stored.first <= stored.last else None,
            room=Room(self._limits),
        )

    def search_memory(self, kind: Kind, buffer: Buffer) -> Search | None:
        """Return where the oldest items of the backlog are that are in memory."""
        for first, last in self._backlog[kind]:
            young = buffer.first_id(Span(kind, first, last))
            if young is not None:
                return Search(span=Span(kind, young, last), stored=None, room=Room(self._limits))
        return None

    def take_found(self, search: Search, stored: Sequence[Item], buffer: Buffer) -> list[Item]:
        """Remove and return the items that the search found in the spool, and those that follow.

        Without any, the part of the backlog that was searched is removed.
        """
        kind, first, last = search.span.kind, search.span.first, search.span.last
        searched = first - 1
        if search.stored:
            searched = stored[-1].id if stored else search.stored.last
        found = [*stored, *buffer.run(Span(kind, searched + 1, last), search.room)]
        self._backlog[kind].discard(first, found[-1].id if found else searched)
        return found
