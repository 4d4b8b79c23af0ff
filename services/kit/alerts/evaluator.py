"""Evaluation of alert rules: pure functions over the times of samples.

The alerting service evaluates live samples with it, and the gateway stored ones for the preview of
a rule. All times are in milliseconds since 1970, as the agent measured them.
"""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

# A pending alert starts again after a longer time without samples: nothing shows that the
# condition held in between. Prometheus looks back as far.
MAX_GAP = 300_000

LATENESS = 120_000
"""Age of a sample, when it arrives, from which it neither fires nor resolves an alert."""

_NEVER = -(2**63)

Number = float | int


class Comparison(StrEnum):
    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="


_COMPARE: dict[Comparison, Callable[[Number, Number], bool]] = {
    Comparison.ABOVE: operator.gt,
    Comparison.AT_LEAST: operator.ge,
    Comparison.BELOW: operator.lt,
    Comparison.AT_MOST: operator.le,
}


@dataclass(frozen=True, slots=True)
class Condition:
    comparison: Comparison
    threshold: float
    duration: int
    """Milliseconds for which every sample must meet the comparison before the alert fires."""

    def holds(self, value: Number) -> bool:
        return _COMPARE[self.comparison](value, self.threshold)


class Phase(StrEnum):
    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    NO_DATA = "no_data"


class State(NamedTuple):
    """State of one rule on one server."""

    seen_at: int = _NEVER
    """Time of the newest sample."""
    pending_since: int | None = None
    """Time of the first sample that met the comparison; None if the newest one does not."""
    fired_at: int | None = None


NEW = State()


class Change(StrEnum):
    FIRED = "fired"
    RESOLVED = "resolved"


class Interval(NamedTuple):
    """A time for which an alert fired; `resolved_at` is None if it did not end."""

    fired_at: int
    resolved_at: int | None


def advance(
    condition: Condition, state: State, time: int, value: Number | None
) -> tuple[State, Change | None]:
    """Return the state after one more sample, and the change of the alert.

    A sample without a value, or one that is not newer than the last one, changes nothing. So
    missing data never resolves an alert, and late data never changes a newer verdict.
    """
    if value is None or time <= state.seen_at:
        return state, None
    if not condition.holds(value):
        return State(time), None if state.fired_at is None else Change.RESOLVED
    if state.fired_at is not None:
        return State(time, state.pending_since, state.fired_at), None
    since = state.pending_since
    if since is None or time - state.seen_at > MAX_GAP:
        since = time
    if time - since >= condition.duration:
        return State(time, since, time), Change.FIRED
    return State(time, since), None


def phase(state: State, now: int) -> Phase:
    """Return the phase of an alert; an alert that fires keeps firing without data."""
    if state.fired_at is not None:
        return Phase.FIRING
    if now - state.seen_at > MAX_GAP:
        return Phase.NO_DATA
    return Phase.OK if state.pending_since is None else Phase.PENDING


def is_usable(time: int, arrived_at: int) -> bool:
    """Tell whether a sample may change an alert: it is neither late nor from the future."""
    return -LATENESS <= time - arrived_at <= LATENESS


def intervals(
    condition: Condition, samples: Iterable[tuple[int, Number | None]]
) -> tuple[list[Interval], int]:
    """Return when a rule would have fired on one server, and the number of evaluated samples."""
    state, found, evaluated = NEW, [], 0
    for time, value in samples:
        evaluated += value is not None
        fired_at = state.fired_at
        state, change = advance(condition, state, time, value)
        if change is Change.RESOLVED and fired_at is not None:
            found.append(Interval(fired_at, time))
    if state.fired_at is not None:
        found.append(Interval(state.fired_at, None))
    return found, evaluated
