from agent.collect.schedule import next_due


def test_due_times_are_multiples_of_the_interval() -> None:
    assert next_due(100.0, 2.0, 100.3) == 102.0
    assert next_due(102.0, 2.0, 102.0) == 104.0


def test_due_times_that_have_passed_are_left_out() -> None:
    assert next_due(100.0, 2.0, 105.0) == 106.0
