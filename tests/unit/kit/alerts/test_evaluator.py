"""The evaluation of alert rules over the times of samples."""

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from services.kit.alerts.evaluator import (
    LATENESS,
    MAX_GAP,
    NEW,
    Change,
    Comparison,
    Condition,
    Interval,
    Phase,
    State,
    advance,
    intervals,
    is_usable,
    phase,
)

MINUTE = 60_000
HIGH = Condition(Comparison.ABOVE, 90, 3 * MINUTE)

Series = list[tuple[int, float | None]]


def minutes(*values: float | None, start: int = 0) -> Series:
    return [((start + place) * MINUTE, value) for place, value in enumerate(values)]


def test_a_rule_fires_when_every_sample_of_its_duration_is_above_the_threshold() -> None:
    found, evaluated = intervals(HIGH, minutes(10, 95, 95, 95, 95, 95, 50, 95))
    assert found == [Interval(4 * MINUTE, 6 * MINUTE)]
    assert evaluated == 8


def test_one_sample_below_the_threshold_starts_the_duration_again() -> None:
    assert intervals(HIGH, minutes(95, 95, 95, 50, 95, 95, 95)) == ([], 7)


def test_a_duration_of_zero_fires_with_the_first_sample() -> None:
    at_once = Condition(Comparison.AT_LEAST, 90, 0)
    assert intervals(at_once, minutes(89.9, 90, 89.9)) == ([Interval(MINUTE, 2 * MINUTE)], 3)


def test_each_comparison_compares() -> None:
    for comparison, expected in (
        (Comparison.ABOVE, [False, False, True]),
        (Comparison.AT_LEAST, [False, True, True]),
        (Comparison.BELOW, [True, False, False]),
        (Comparison.AT_MOST, [True, True, False]),
    ):
        assert [Condition(comparison, 5, 0).holds(value) for value in (4, 5, 6)] == expected


def test_missing_data_never_resolves_an_alert() -> None:
    series = [*minutes(95, 95, 95, 95), *minutes(None, None, start=4), *minutes(95, start=500)]
    assert intervals(HIGH, series) == ([Interval(3 * MINUTE, None)], 5)


def test_a_long_gap_does_not_count_as_time_above_the_threshold() -> None:
    later = MAX_GAP + 1
    assert intervals(HIGH, [(0, 95), (later, 95), (later + MINUTE, 95)]) == ([], 3)
    assert intervals(HIGH, [(0, 95), (MAX_GAP, 95)]) == ([Interval(MAX_GAP, None)], 2)


def test_a_late_sample_neither_resolves_nor_fires() -> None:
    firing = State(10 * MINUTE, 0, 3 * MINUTE)
    assert advance(HIGH, firing, 9 * MINUTE, 1) == (firing, None)
    calm = State(10 * MINUTE)
    assert advance(HIGH, calm, 10 * MINUTE, 99) == (calm, None)


def test_a_sample_that_arrives_late_or_from_the_future_is_not_usable() -> None:
    assert is_usable(0, LATENESS)
    assert not is_usable(0, LATENESS + 1)
    assert is_usable(LATENESS, 0)
    assert not is_usable(LATENESS + 1, 0)


def test_a_phase_tells_missing_data_from_calm() -> None:
    assert phase(NEW, 0) is Phase.NO_DATA
    assert phase(State(0), MINUTE) is Phase.OK
    assert phase(State(0), MAX_GAP + 1) is Phase.NO_DATA
    assert phase(State(0, 0), MINUTE) is Phase.PENDING
    assert phase(State(0, 0, 0), 10 * MAX_GAP) is Phase.FIRING


SERIES = st.lists(
    st.tuples(st.integers(1, 2 * MAX_GAP), st.none() | st.floats(0, 100)), max_size=60
).map(
    lambda steps: [
        (sum(gap for gap, _ in steps[: place + 1]), value) for place, (_, value) in enumerate(steps)
    ]
)
CONDITIONS = st.builds(
    Condition, st.sampled_from(Comparison), st.floats(0, 100), st.integers(0, 2 * MAX_GAP)
)


def by_definition(condition: Condition, series: Series) -> list[Interval]:
    """Look back from each sample, as the manual defines a rule, instead of keeping a state."""
    present = [(time, value) for time, value in series if value is not None]
    found: list[Interval] = []
    for place, (time, value) in enumerate(present):
        is_open = bool(found) and found[-1].resolved_at is None
        if is_open and not condition.holds(value):
            found[-1] = found[-1]._replace(resolved_at=time)
        if is_open or not condition.holds(value):
            continue
        first = place
        while (
            first > 0
            and condition.holds(present[first - 1][1])
            and present[first][0] - present[first - 1][0] <= MAX_GAP
        ):
            first -= 1
        if time - present[first][0] >= condition.duration:
            found.append(Interval(time, None))
    return found


@hypothesis.settings(max_examples=300, deadline=None)
@given(CONDITIONS, SERIES)
def test_the_evaluator_agrees_with_the_definition(condition: Condition, series: Series) -> None:
    assert intervals(condition, series)[0] == by_definition(condition, series)


@hypothesis.settings(max_examples=200, deadline=None)
@given(CONDITIONS, SERIES, st.data())
def test_repeated_and_late_samples_change_nothing(
    condition: Condition, series: Series, data: st.DataObject
) -> None:
    noisy: Series = []
    for place, sample in enumerate(series):
        noisy.append(sample)
        if sample[1] is not None and data.draw(st.booleans()):
            noisy.append(series[data.draw(st.integers(0, place))])
    again = [one for one in noisy if one[1] is not None]
    calm = [one for one in series if one[1] is not None]
    late = [one for place, one in enumerate(again) if one in calm[: place + 1]]
    assert intervals(condition, late)[0] == intervals(condition, calm)[0]


@hypothesis.settings(max_examples=200, deadline=None)
@given(CONDITIONS, SERIES)
def test_an_alert_resolves_only_with_a_sample_that_does_not_meet_the_condition(
    condition: Condition, series: Series
) -> None:
    state = NEW
    for time, value in series:
        before = state
        state, change = advance(condition, state, time, value)
        if change is Change.RESOLVED:
            assert value is not None
            assert not condition.holds(value)
        if before.fired_at is not None and change is None:
            assert state.fired_at == before.fired_at
