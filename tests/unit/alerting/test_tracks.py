"""The rules that apply to each server, and their states while rules and servers change."""

from dataclasses import replace
from uuid import UUID

import pytest

from flotilla.v1.metrics_pb2 import PerformanceSnapshot
from services.alerting.store import Rule, Server
from services.alerting.tracks import Evaluation, Tracks, select
from services.kit.alerts import metrics
from services.kit.alerts.evaluator import Change, State
from services.kit.metrics.fields import Metric, Snapshot, Value

OURS, THEIRS = UUID(int=1), UUID(int=2)
WEB = Server(UUID(int=10), OURS, ["web"], enrolled=True)
DB = Server(UUID(int=11), OURS, ["db"], enrolled=True)
NEW = Server(UUID(int=12), OURS, ["web"], enrolled=False)
FOREIGN = Server(UUID(int=13), THEIRS, ["web"], enrolled=True)
SERVERS = [WEB, DB, NEW, FOREIGN]
RULE = Rule(
    id=UUID(int=20),
    organisation_id=OURS,
    version=1,
    metric_type="cpu_usage",
    comparison_operator=">",
    threshold=90,
    duration_seconds=0,
    server_ids=[],
    tags=[],
    all_servers=True,
)


def tracks(*rules: Rule) -> Tracks:
    made = Tracks()
    made.load(list(rules), SERVERS)
    return made


def evaluated(made: Tracks, server: Server, time: int, cpu: float) -> Evaluation:
    evaluation = Evaluation()
    made.evaluate(evaluation, str(server.id), time, PerformanceSnapshot(cpu_usage_percent=cpu))
    return evaluation


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (RULE, [WEB, DB, NEW]),
        (replace(RULE, all_servers=False), []),
        (replace(RULE, all_servers=False, tags=["web"]), [WEB, NEW]),
        (replace(RULE, all_servers=False, server_ids=[DB.id], tags=["web"]), [WEB, DB, NEW]),
        (replace(RULE, all_servers=False, tags=["nobody"]), []),
    ],
)
def test_a_rule_applies_to_the_servers_of_its_scope(rule: Rule, expected: list[Server]) -> None:
    assert select(rule, [WEB, DB, NEW]) == expected


def test_a_rule_reaches_no_server_of_another_organisation() -> None:
    made = tracks(RULE)
    assert FOREIGN.id not in {track.vps_id for track in made}
    assert evaluated(made, FOREIGN, 1, 99).steps == []


def test_a_server_that_was_never_installed_is_not_offline() -> None:
    made = tracks(replace(RULE, metric_type=metrics.OFFLINE))
    assert {track.vps_id for track in made.offline} == {WEB.id, DB.id}


def test_a_state_counts_when_it_is_committed() -> None:
    made = tracks(RULE)
    first = evaluated(made, WEB, 1, 99)
    assert [step.change for step in first.steps] == [Change.FIRED]
    again = evaluated(made, WEB, 1, 99)
    assert [step.change for step in again.steps] == [Change.FIRED]
    again.commit()
    assert evaluated(made, WEB, 1, 99).steps == []
    assert [step.change for step in evaluated(made, WEB, 2, 1).steps] == [Change.RESOLVED]


def test_the_samples_of_one_evaluation_follow_each_other() -> None:
    made = tracks(RULE)
    evaluation = Evaluation()
    for time, cpu in ((1, 99.0), (2, 1.0), (3, 98.0)):
        snapshot = PerformanceSnapshot(cpu_usage_percent=cpu)
        made.evaluate(evaluation, str(WEB.id), time, snapshot)
    changes = [step.change for step in evaluation.steps]
    assert changes == [Change.FIRED, Change.RESOLVED, Change.FIRED]


def test_an_unchanged_rule_keeps_its_state_and_a_changed_one_starts_anew() -> None:
    made = tracks(RULE)
    evaluated(made, WEB, 1, 99).commit()
    other = replace(RULE, id=UUID(int=21))
    assert made.load([RULE, other], SERVERS)
    assert not made.load([RULE, other], SERVERS)
    states = {track.rule.id: track.state for track in made if track.vps_id == WEB.id}
    assert states[RULE.id].fired_at == 1
    assert states[other.id].fired_at is None
    made.load([replace(RULE, version=2)], SERVERS)
    assert all(track.state.fired_at is None for track in made)


def test_stored_states_are_taken_over() -> None:
    made = Tracks()
    made.load([RULE], SERVERS, {(RULE.id, WEB.id, 1): State(5, 1, 5)})
    assert [step.change for step in evaluated(made, WEB, 6, 1).steps] == [Change.RESOLVED]


def test_a_rule_that_fails_is_broken_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Snapshot) -> Value:
        raise ZeroDivisionError

    readers = {**metrics.READERS, "load_1": Metric("load_1", fail)}
    monkeypatch.setattr("services.alerting.tracks.READERS", readers)
    bad = replace(RULE, id=UUID(int=21), metric_type="load_1")
    gone = replace(RULE, id=UUID(int=22), metric_type="gone")
    made = tracks(bad, gone, RULE)
    evaluation = evaluated(made, WEB, 1, 99)
    assert [step.track.rule.id for step in evaluation.steps] == [RULE.id]
    assert {rule.id for rule, _ in made.broken.values()} == {bad.id, gone.id}


def test_pending_alerts_are_part_of_a_checkpoint() -> None:
    made = tracks(replace(RULE, duration_seconds=60))
    evaluated(made, WEB, 1, 99).commit()
    evaluated(made, WEB, 2, 99).commit()
    (update,) = made.pending()
    assert (update.vps_id, update.state) == (WEB.id, State(2, 1))
