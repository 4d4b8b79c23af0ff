import dataclasses
import enum


class Kind(enum.IntEnum):
    PERFORMANCE = 1
    DOCKER = 2
    GENERIC = 3


class Reason(enum.IntEnum):
    SPACE = 1
    AGE = 2
    MEMORY = 3
    REFUSED = 4
    DAMAGED = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Quota:
    size: int = 256 * 1024 * 1024  # bytes
    age: float = 7 * 86_400.0  # seconds


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """What is sent or dropped as one; numbered within its kind."""

    kind: Kind
    id: int
    time: int  # Unix milliseconds
    count: int  # snapshots or metrics
    size: int  # bytes, before compression
    content: bytes = dataclasses.field(repr=False)  # compressed


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    kind: Kind
    first: int
    last: int


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A batch that was accepted, and when in Unix seconds."""

    span: Span
    sequence: int
    accepted_at: int


@dataclasses.dataclass(slots=True)
class Drop:
    id: int
    reason: Reason
    kind: Kind
    count: int
    first: int  # Unix milliseconds
    last: int

    def grow(self, count: int, first: int, last: int) -> None:
        self.count += count
        self.first = min(self.first, first)
        self.last = max(self.last, last)


@dataclasses.dataclass(frozen=True, slots=True)
class Loss:
    reason: Reason
    kind: Kind
    count: int
    first: int
    last: int


@dataclasses.dataclass(frozen=True, slots=True)
class Committed:
    added: bool  # False when too little space is left for adding; the rest was done
    drops: list[Drop]  # what the quota took, on the disk with its deletion


@dataclasses.dataclass(slots=True)
class Changes:
    add: list[Item] = dataclasses.field(default_factory=list)
    remove: list[Span] = dataclasses.field(default_factory=list)
    remove_sequences: list[int] = dataclasses.field(default_factory=list)
    accept: list[Mark] = dataclasses.field(default_factory=list)
    drops: dict[int, Drop] = dataclasses.field(default_factory=dict)
    reported: list[int] = dataclasses.field(default_factory=list)
    free_drops: int = 1  # ids of drops from here on are for what the quota takes
