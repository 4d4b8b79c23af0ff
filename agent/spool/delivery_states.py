"""The states of measurements and batches between measurement and durability."""

import logging
import os
import random
import time
from collections.abc import Callable, Iterable, Sequence

from agent.base.errors import ItemDamagedError
from agent.spool import codec
from agent.spool.batch import Batch, Search, State
from agent.spool.buffer import Buffer
from agent.spool.lanes import Lanes
from agent.spool.loss_reports import LossReports
from agent.spool.models import (
    Acceptance,
    Commit,
    Committed,
    Item,
    Kind,
    Limits,
    Loss,
    Measurement,
    Opened,
    Reason,
    Span,
)
from flotilla.v1.agent_pb2 import MessageToServer
from flotilla.v1.metrics_pb2 import BatchHeader

log = logging.getLogger(__name__)


class Delivery:
    """The only owner of the state of every measurement that is not durable yet.

    It does no input or output: the send queue moves messages and commits, and reports the outcome.
    Every item is live, in the backlog or in a batch. A batch keeps its sequence number and content
    until it is accepted. A parked batch is accepted but not known to be durable: memory no longer
    holds it, and its items remain in the spool until it is durable or must be sent again.

    State              Event                          Next state  Effect
    -----------------  -----------------------------  ----------  ----------------------------------
    Items
    (new)              add                            live        The next commit stores the item.
    live               too many live items            backlog
    live               next_live                      queued      The batch gets a sequence number
    backlog            fill, fill_from_memory         queued      and loss reports.
    live, backlog      memory is full                 lost        Reported as MEMORY.
    backlog            commit, spool over its quota   lost        Reported as SPACE or AGE.
    Batches
    queued             send                           sent
    queued             send, item unreadable          queued      The item is lost: DAMAGED.
    sent               accepted                       accepted    The content leaves memory.
    sent               retry                          queued      Not sent before a given time.
    sent               stream_opened                  queued
    queued to parked   durable                        (end)       Items are removed everywhere, and
                                                                  reports are settled.
    queued to accepted refused                        lost        Reported as REFUSED.
    accepted           too many accepted, agent ends  parked      Only the spool keeps the items.
    accepted, parked   memory or spool is full        (end)       JetStream has the items.
    accepted, parked   lost_before, revived           backlog     JetStream has lost the items.
    any                adopt another spool            backlog     Numbers and ids start again.

    If a batch does not become durable, a later batch carries its loss reports.
    """

    def __init__(
        self,
        vps_id: str,
        limits: Limits | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.epoch = os.urandom(8).hex()
        self._vps_id = vps_id
        self._limits = limits or Limits()
        self._monotonic = monotonic
        self._now = now
        self._sequence = 0  # sequence number of the newest batch
        self._buffer = Buffer(self._limits)
        self._lanes = Lanes(self._limits)
        self._batches: dict[int, Batch] = {}  # by sequence; accepted ones in order of acceptance
        self._reports = LossReports(self._limits.loss_report_interval)
        self._backlog_due = 0.0  # on the monotonic clock
        # Batches that were accepted before this time should be durable, because a later one is.
        self._durable_until = 0  # Unix seconds

    @property
    def lost(self) -> int:
        """Number of measurements that were lost since the start."""
        return self._reports.count

    @property
    def is_stored(self) -> bool:
        """True if the spool has every item."""
        return not len(self._buffer)

    @property
    def live_is_accepted(self) -> bool:
        """True if the server has accepted everything in the live lane."""
        return not self._lanes.live and not any(
            batch.live and batch.state is not State.ACCEPTED for batch in self._batches.values()
        )

    # Measurements

    def add(self, kind: Kind, time: int, measurements: Sequence[Measurement]) -> None:
        """Add measurements of one time (Unix milliseconds) as an item."""
        item = self._buffer.add(kind, time, measurements)
        for late in self._lanes.add(item):
            self._buffer.compress(late)
        while self._buffer.is_too_large() and self._free_memory():
            pass

    def _free_memory(self) -> bool:
        """Remove accepted items, because JetStream has them, or lose the oldest item outside a batch."""
        if self._buffer.release_accepted():
            return True
        for batch in self._batches.values():
            if batch.state is State.ACCEPTED:
                self._reports.release(batch.reports)
                self._end(batch)
                return True
        for item in self._buffer:
            if not any(batch.holds(item) for batch in self._batches.values()):
                self._lose(Reason.MEMORY, item)
                return True
        return False

    def _lose(self, reason: Reason, item: Item) -> None:
        self._lanes.discard(item)
        self._buffer.remove(Span(item.kind, item.id, item.id))
        self.report(Loss.of(reason, [item]))

    def report(self, loss: Loss) -> None:
        """Report the loss with a later batch."""
        self._buffer.save_report(self._reports.add(loss))

    # Batches

    def next_live(self) -> Batch | None:
        """Return the batch of the live lane that is to be sent now."""
        if batch := self._queued(live=True):
            return batch
        if not self._lanes.live or not self._may_fill(live=True):
            return None
        return self._fill(self._lanes.take_live(), live=True)

    def next_of_backlog(self) -> Batch | None:
        """Return the batch of the backlog that is to be sent again now."""
        return self._queued(live=False) if self._backlog_is_due() else None

    def kinds_to_fill(self) -> list[Kind]:
        """Return the kinds for which a batch of the backlog may be sent now.

        They take turns, so that a long backlog of one does not delay the others.
        """
        if not self._backlog_is_due() or not self._may_fill(live=False):
            return []
        return sorted(self._lanes.kinds_in_backlog, key=self._last_of_backlog)

    def _last_of_backlog(self, kind: Kind) -> int:
        return max(
            (b.sequence for b in self._batches.values() if b.span.kind is kind and not b.live),
            default=0,
        )

    def search(self, kind: Kind) -> Search | None:
        """Return where the oldest items of the backlog are.

        There must be no commit until the result of the search is passed to `fill`.
        """
        return self._lanes.search(kind, self._buffer)

    def fill(self, search: Search, stored: Sequence[Item]) -> Batch | None:
        """Return a batch of the items that were found in the spool and those that follow."""
        items = self._lanes.take_found(search, stored, self._buffer)
        return self._fill(items, live=False) if items else None

    def fill_from_memory(self, kind: Kind) -> Batch | None:
        """Return a batch of the oldest items in memory, if the spool cannot be read."""
        search = self._lanes.search_memory(kind, self._buffer)
        return self.fill(search, []) if search else None

    def pause_backlog(self, seconds: float) -> None:
        self._backlog_due = self._monotonic() + seconds

    def _backlog_is_due(self) -> bool:
        return self._monotonic() >= self._backlog_due

    def _queued(self, *, live: bool) -> Batch | None:
        now = self._monotonic()
        for batch in self._batches.values():
            if batch.live == live and batch.state is State.QUEUED and batch.not_before <= now:
                return batch
        return None

    def _may_fill(self, *, live: bool) -> bool:
        unaccepted = sum(
            batch.live == live and batch.state is not State.ACCEPTED
            for batch in self._batches.values()
        )
        return unaccepted < self._limits.unaccepted_batches

    def _fill(self, items: list[Item], *, live: bool) -> Batch:
        self._sequence += 1
        batch = Batch(
            sequence=self._sequence,
            span=Span(items[0].kind, items[0].id, items[-1].id),
            live=live,
            items=items,
            reports=self._reports.take(self._monotonic()),
        )
        self._batches[batch.sequence] = batch
        return batch

    def send(self, batch: Batch) -> MessageToServer | None:
        """Mark a batch as sent and return its message. None if all its items are unreadable."""
        header = BatchHeader(
            vps_id=self._vps_id,
            epoch=self.epoch,
            sequence=batch.sequence,
            sent_at_unix_ms=int(self._now() * 1000),
            drops=map(codec.drop_report, batch.reports),
        )
        try:
            message = codec.message(batch.span.kind, batch.items, header)
        except ItemDamagedError:
            self._lose_unreadable(batch)
            return self.send(batch) if batch.items else None
        batch.state = State.SENT
        if not batch.live:
            limits = self._limits
            pace = max(
                1 / limits.backlog_batches_per_second, batch.size / limits.backlog_bytes_per_second
            )
            jitter = limits.backlog_jitter
            self.pause_backlog(pace * random.uniform(1 - jitter, 1 + jitter))  # noqa: S311  # spreads load
        return message

    def _lose_unreadable(self, batch: Batch) -> None:
        """Lose unreadable items. After a batch was sent, its content must not change."""
        for item in [item for item in batch.items if not codec.is_readable(item)]:
            batch.items.remove(item)
            self._lose(Reason.DAMAGED, item)
        if not batch.items:
            self._reports.release(batch.reports)
            self._end(batch)

    def wait_seconds(self) -> float | None:
        """Return the seconds until a batch may be sent. None if an event must come first."""
        due = [
            batch.not_before if batch.live else max(batch.not_before, self._backlog_due)
            for batch in self._batches.values()
            if batch.state is State.QUEUED
        ]
        if self._lanes.kinds_in_backlog and self._may_fill(live=False):
            due.append(self._backlog_due)
        return max(min(due) - self._monotonic(), 0.0) if due else None

    # Answers of the server

    def accepted(self, sequences: Iterable[int]) -> None:
        for sequence in sequences:
            batch = self._batches.get(sequence)
            if batch and batch.state is not State.ACCEPTED:
                batch.accept(int(self._now()))
                self._batches[sequence] = self._batches.pop(sequence)
        accepted = [b for b in self._batches.values() if b.state is State.ACCEPTED]
        for batch in accepted[: -self._limits.accepted_batches]:
            self._park(batch)

    def end_batches(self) -> None:
        """Have the spool keep the items of all batches, for the next start of the agent."""
        for batch in list(self._batches.values()):
            if batch.state is State.ACCEPTED:
                self._park(batch)
            else:
                del self._batches[batch.sequence]

    def _park(self, batch: Batch) -> None:
        del self._batches[batch.sequence]
        # The agent will not learn when the batch is durable.
        self._reports.release(batch.reports)
        self._buffer.accept(Acceptance(batch.span, batch.sequence, batch.accepted_at))

    def durable(self, sequences: Iterable[int]) -> None:
        for sequence in sequences:
            batch = self._batches.get(sequence)
            if batch is None:
                self._buffer.remove_accepted(sequence)
                continue
            self._durable_until = max(self._durable_until, batch.accepted_at)
            for number in self._reports.settle(batch.reports):
                self._buffer.remove_report(number)
            self._end(batch)

    def refused(self, sequences: Iterable[int], reason: str) -> None:
        for sequence in sequences:
            if batch := self._batches.get(sequence):
                loss = batch.loss()
                self._reports.release(batch.reports)
                self._end(batch)
                self.report(loss)
                name = loss.kind.name.lower()
                log.error("The server refused %d %s measurements: %s", loss.count, name, reason)

    def _end(self, batch: Batch) -> None:
        del self._batches[batch.sequence]
        self._buffer.remove(batch.span)

    def retry(self, sequences: Iterable[int], after: float) -> None:
        """Send batches again, but not within the next `after` seconds."""
        limits = self._limits
        not_before = self._monotonic() + min(max(after, limits.retry_min), limits.retry_max)
        for sequence in sequences:
            batch = self._batches.get(sequence)
            if batch and batch.state is State.SENT:
                batch.state = State.QUEUED
                batch.not_before = not_before

    def stream_opened(self) -> None:
        """Send batches again that were sent on an earlier stream and not accepted."""
        for batch in self._batches.values():
            if batch.state is State.SENT:
                batch.state = State.QUEUED
        self.pause_backlog(random.uniform(0, self._limits.backlog_start))  # noqa: S311  # spreads load

    # The spool

    def commit(self) -> Commit:
        """Return changes for the spool. If it stores them, call `committed`."""
        held = self._lanes.live_spans
        in_jetstream: list[Span] = []
        for batch in self._batches.values():
            (in_jetstream if batch.state is State.ACCEPTED else held).append(batch.span)
        return self._buffer.commit(tuple(held), tuple(in_jetstream))

    def committed(self, commit: Commit, result: Committed) -> None:
        """Forget the changes that the spool has stored. A later commit contains the others."""
        self._buffer.forget(commit, with_items=result.items_stored)
        for stored in result.reports:
            report = self._reports.add_stored(stored)
            if report.id != stored.id:
                self._buffer.save_report(report)
                self._buffer.remove_report(stored.id)

    def adopt(self, opened: Opened) -> None:
        """Continue with the spool that was opened."""
        if opened.epoch != self.epoch:
            self._adopt_other(opened)
        for loss in opened.losses:
            self.report(loss)

    def _adopt_other(self, opened: Opened) -> None:
        # An earlier spool may be damaged, but memory still has the items that were not accepted.
        in_batches = [item for batch in self._batches.values() for item in batch.items]
        memory = (*in_batches, *self._lanes.live, *self._buffer)
        young = {(item.kind, item.id): item for item in memory}
        # A spool that replaces a damaged one has the ids of that one, if it has its items.
        renumber = not self._buffer.has_spool
        self.epoch, self._sequence = opened.epoch, opened.sequence
        self._batches.clear()
        self._lanes = Lanes(self._limits)
        self._buffer = Buffer(self._limits, opened.spans)
        for span in opened.spans:
            self._lanes.add_to_backlog(span)
        for key in sorted(young):
            item = self._buffer.take_over(young[key], renumber=renumber)
            self._lanes.add_to_backlog(Span(item.kind, item.id, item.id))
        for report in self._reports.adopt(opened.reports, last_id=opened.sequence):
            self._buffer.save_report(report)

    def lost_before(self, before: int) -> int | None:
        """Find batches that must have been lost and queue their items again.

        These are the batches that JetStream accepted before this Unix second and before a batch
        that is already durable. Return the time limit for accepted items that only the spool keeps.
        Return None if nothing is durable yet: the database may be unavailable, and sending the
        items again would only fill JetStream.
        """
        if not self._durable_until:
            return None
        before = min(before, self._durable_until)
        for batch in list(self._batches.values()):
            if batch.state is State.ACCEPTED and batch.accepted_at < before:
                del self._batches[batch.sequence]
                self._reports.release(batch.reports)
                self._lanes.add_to_backlog(batch.span)
        return before

    def revived(self, spans: Iterable[Span]) -> None:
        """Send again items that the spool does not keep as accepted any more."""
        for span in spans:
            self._lanes.add_to_backlog(span)
