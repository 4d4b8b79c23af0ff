"""Values of the send queue."""

import dataclasses
import enum
from collections.abc import Iterable

from flotilla.v1.docker_pb2 import DockerSnapshot
from flotilla.v1.metrics_pb2 import GenericMetric, PerformanceSnapshot

Measurement = PerformanceSnapshot | DockerSnapshot | GenericMetric


class Kind(enum.IntEnum):
    """Kinds of measurements. Their numbers are part of the keys in the spool."""

    PERFORMANCE = 1
    DOCKER = 2
    GENERIC = 3


class Reason(enum.IntEnum):
    """Reasons for a loss. Their numbers are stored in the spool."""

    SPACE = 1
    AGE = 2
    MEMORY = 3
    REFUSED = 4
    DAMAGED = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Quota:
    """Bounds of the spool file."""

    size: int = 256 * 1024 * 1024  # bytes
    age: float = 7 * 86_400.0  # seconds


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and pace of the send queue."""

    batch_items: int = 100
    batch_count: int = 1_000  # snapshots or metrics
    batch_bytes: int = 256 * 1024
    unaccepted_batches: int = 8  # of each lane
    # The newest items are sent from memory. Those beyond the limit join the backlog.
    live_items: int = 32
    live_bytes: int = 256 * 1024
    # Accepted batches that memory keeps until they are durable. Only the spool keeps more.
    accepted_batches: int = 256
    # Items in memory that the spool has not stored.
    memory_items: int = 10_000
    memory_bytes: int = 32 * 1024 * 1024
    # The jitter spreads the load of many agents that connect at the same time.
    backlog_batches_per_second: float = 50.0
    backlog_bytes_per_second: float = 500_000.0
    backlog_jitter: float = 0.2
    backlog_start: float = 1.0  # seconds after a connection, at most
    # Seconds until a spool that stored nothing is used again, at first and at most.
    store_retry_first: float = 1.0
    store_retry_most: float = 30.0
    # Seconds until a batch is sent again on request of the server.
    retry_min: float = 0.1
    retry_max: float = 300.0
    loss_report_interval: float = 60.0  # seconds


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """The unit that is sent, stored or lost as a whole. Items are numbered within their kind."""

    kind: Kind
    id: int
    time: int  # Unix milliseconds
    count: int  # snapshots or metrics
    size: int  # bytes in a message
    # The measurements, or a compressed batch of them if the item was compressed or read from disk.
    content: tuple[Measurement, ...] | bytes = dataclasses.field(repr=False)

    @property
    def held(self) -> int:
        """Bytes that the item takes in memory, roughly."""
        return len(self.content) if isinstance(self.content, bytes) else self.size


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """Consecutive items of one kind, from the first to the last id."""

    kind: Kind
    first: int
    last: int


@dataclasses.dataclass(frozen=True, slots=True)
class Acceptance:
    """Items that the server has accepted with a batch but not yet made durable."""

    span: Span
    sequence: int
    accepted_at: int  # Unix seconds


@dataclasses.dataclass(frozen=True, slots=True)
class Loss:
    """Measurements that will never arrive."""

    reason: Reason
    kind: Kind
    count: int  # snapshots or metrics; 0 if not known
    first: int  # Unix milliseconds
    last: int

    @classmethod
    def of(cls, reason: Reason, items: Iterable[Item]) -> "Loss":
        """Return the loss of these items, of which there is at least one."""
        items = list(items)
        times = [item.time for item in items]
        count = sum(item.count for item in items)
        return cls(reason, items[0].kind, count, min(times), max(times))

    def merged(self, other: "Loss") -> "Loss":
        return dataclasses.replace(
            self,
            count=self.count + other.count,
            first=min(self.first, other.first),
            last=max(self.last, other.last),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class LossReport:
    """A loss with an id. The server replaces an earlier report that has the same id."""

    id: int
    loss: Loss


@dataclasses.dataclass(frozen=True, slots=True)
class Commit:
    """Changes that the spool stores in one transaction, in the order of these fields.

    Applying a change a second time has no effect, so a commit that failed can be repeated.
    """

    items: tuple[Item, ...] = ()
    accepted: tuple[Acceptance, ...] = ()
    removed: tuple[Span, ...] = ()
    removed_sequences: tuple[int, ...] = ()
    reports: tuple[LossReport, ...] = ()
    settled_reports: tuple[int, ...] = ()
    # Items that are in memory and will be sent. The quota does not remove them.
    held: tuple[Span, ...] = ()
    # Items of accepted batches. The quota may remove them, and this is not a loss.
    in_jetstream: tuple[Span, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Committed:
    """The effect of a commit."""

    # False if the disk has too little space for the items. All other changes were stored.
    items_stored: bool
    # Losses by the quota, stored in the same transaction.
    reports: tuple[LossReport, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """The content of a spool that has been opened."""

    epoch: str
    sequence: int  # the first batch gets the number after this
    spans: tuple[Span, ...] = ()  # from the first to the last item of each kind
    reports: tuple[LossReport, ...] = ()
    losses: tuple[Loss, ...] = ()  # by damage to an earlier file
