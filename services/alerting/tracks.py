"""Tracks: the rules that apply to each server, each with its state."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from uuid import UUID

import structlog
from prometheus_client import Counter

from services.alerting.store import Rule, Server, Update
from services.kit.alerts.evaluator import NEW, Change, Comparison, Condition, State, advance
from services.kit.alerts.metrics import OFFLINE, READERS
from services.kit.metrics.fields import Snapshot, Value

log = structlog.get_logger(__name__)

EVALUATIONS = Counter("flotilla_alerting_evaluations_total", "Rules evaluated with a sample")
BROKEN = Counter("flotilla_alerting_broken_rules_total", "Rules that failed to evaluate")


@dataclass(slots=True)
class Track:
    """One rule on one server."""

    rule: Rule
    condition: Condition
    vps_id: UUID
    state: State = NEW


@dataclass(frozen=True, slots=True)
class Step:
    """A new state of a track that must be stored."""

    track: Track
    state: State
    change: Change | None
    value: float

    @property
    def update(self) -> Update:
        track = self.track
        return Update(track.rule.id, track.rule.version, track.vps_id, self.state)


@dataclass(slots=True)
class Evaluation:
    """New states of one batch of samples. They count when they are stored."""

    states: dict[int, tuple[Track, State]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    broken: dict[UUID, tuple[Rule, str]] = field(default_factory=dict)

    def add(self, track: Track, time: int, value: Value) -> None:
        _, before = self.states.get(id(track), (track, track.state))
        state, change = advance(track.condition, before, time, value)
        if state is before:
            return
        self.states[id(track)] = track, state
        if change is not None or state[1:] != before[1:]:
            self.steps.append(Step(track, state, change, float(value or 0)))

    def commit(self) -> None:
        for track, state in self.states.values():
            track.state = state


class Tracks:
    def __init__(self) -> None:
        self._performance: dict[str, list[Track]] = {}
        self._offline: list[Track] = []
        self._made_from: tuple[Sequence[Rule], Sequence[Server]] = ((), ())
        self.broken: dict[UUID, tuple[Rule, str]] = {}

    def load(
        self,
        rules: Sequence[Rule],
        servers: Sequence[Server],
        states: Mapping[tuple[UUID, UUID, int], State] = MappingProxyType({}),
    ) -> bool:
        """Replace the rules and the servers; return False if they are the same as before.

        Rules that did not change keep their states. `states` are stored states by rule, server and
        version, for tracks that are new.
        """
        if self._made_from == (rules, servers):
            return False
        self._made_from = rules, servers
        known = dict(states)
        known |= {(t.rule.id, t.vps_id, t.rule.version): t.state for t in self}
        members: dict[UUID, list[Server]] = defaultdict(list)
        for server in servers:
            members[server.organisation_id].append(server)
        performance: dict[str, list[Track]] = defaultdict(list)
        offline = []
        self.broken = {}
        for rule in rules:
            condition = self._condition(rule)
            if condition is None:
                continue
            for server in select(rule, members[rule.organisation_id]):
                state = known.get((rule.id, server.id, rule.version), NEW)
                track = Track(rule, condition, server.id, state)
                if rule.metric_type == OFFLINE:
                    if server.enrolled:
                        offline.append(track)
                else:
                    performance[str(server.id)].append(track)
        self._performance, self._offline = performance, offline
        return True

    def _condition(self, rule: Rule) -> Condition | None:
        if rule.metric_type != OFFLINE and rule.metric_type not in READERS:
            self._break(rule, f"The metric {rule.metric_type} does not exist.")
            return None
        comparison = Comparison(rule.comparison_operator)
        return Condition(comparison, rule.threshold, rule.duration_seconds * 1000)

    def _break(self, rule: Rule, reason: str) -> None:
        self.broken[rule.id] = rule, reason
        BROKEN.inc()
        log.warning("rule_broken", rule=str(rule.id), reason=reason)

    def __iter__(self) -> Iterator[Track]:
        for tracks in self._performance.values():
            yield from tracks
        yield from self._offline

    @property
    def offline(self) -> Sequence[Track]:
        return self._offline

    def evaluate(self, evaluation: Evaluation, vps_id: str, time: int, snapshot: Snapshot) -> None:
        """Evaluate the rules of one server with one sample."""
        for track in self._performance.get(vps_id, ()):
            rule = track.rule
            if rule.id in self.broken:
                continue
            try:
                value = READERS[rule.metric_type].read(snapshot)
                evaluation.add(track, time, value)
                EVALUATIONS.inc()
            except Exception as error:
                # One rule that always fails must not stop the others.
                log.exception("evaluation_failed", rule=str(rule.id))
                self._break(rule, f"It could not be evaluated: {type(error).__name__}.")

    def keys(self) -> list[tuple[UUID, UUID, int]]:
        """Return the rule, the server and the version of the rule of each track."""
        return [(track.rule.id, track.vps_id, track.rule.version) for track in self]

    def pending(self) -> list[Update]:
        """Return the states of pending alerts, for a checkpoint."""
        return [
            Update(track.rule.id, track.rule.version, track.vps_id, track.state)
            for track in self
            if track.state.pending_since is not None and track.state.fired_at is None
        ]


def select(rule: Rule, servers: Sequence[Server]) -> list[Server]:
    """Return the servers that a rule applies to. An empty selection is none of them."""
    if rule.all_servers:
        return list(servers)
    ids, tags = set(rule.server_ids), set(rule.tags)
    return [server for server in servers if server.id in ids or not tags.isdisjoint(server.tags)]
