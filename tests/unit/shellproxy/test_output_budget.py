"""The pace of output without a controlling viewer."""

from services.shellproxy.output_budget import RATE, OutputBudget


def test_the_budget_grows_with_time() -> None:
    budget = OutputBudget(100.0)
    assert budget.available(100.0) == 0
    assert budget.available(100.25) == RATE // 4
    assert budget.available(100.5) == RATE // 2


def test_what_passed_is_not_available_again() -> None:
    budget = OutputBudget(100.0)
    assert budget.available(100.5) == RATE // 2
    budget.spend(RATE // 4)
    assert budget.available(100.5) == RATE // 4
    assert budget.available(101.0) == 3 * RATE // 4


def test_a_long_time_without_output_allows_a_burst_of_one_second_only() -> None:
    budget = OutputBudget(100.0)
    assert budget.available(200.0) == RATE


def test_output_that_a_viewer_took_beyond_the_budget_is_not_owed() -> None:
    budget = OutputBudget(100.0)
    budget.available(100.5)
    budget.spend(10 * RATE)
    assert budget.available(101.0) == RATE // 2
