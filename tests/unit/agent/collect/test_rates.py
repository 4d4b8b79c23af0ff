from agent.collect.rates import Rates


def test_the_first_reading_gives_no_rate() -> None:
    assert Rates[str]().update({"eth0": 1_000}, now=5.0) == {}


def test_a_rate_is_the_growth_per_second() -> None:
    rates = Rates[str]()
    rates.update({"eth0": 1_000}, now=5.0)

    assert rates.update({"eth0": 4_000}, now=7.0) == {"eth0": 1_500.0}


def test_a_counter_that_stands_still_has_a_rate_of_zero() -> None:
    rates = Rates[str]()
    rates.update({"eth0": 1_000}, now=5.0)

    assert rates.update({"eth0": 1_000}, now=7.0) == {"eth0": 0.0}


def test_a_counter_that_wraps_has_no_rate_until_the_next_reading() -> None:
    rates = Rates[str]()
    rates.update({"eth0": 2**32 - 10}, now=1.0)

    assert rates.update({"eth0": 90}, now=2.0) == {}
    assert rates.update({"eth0": 190}, now=3.0) == {"eth0": 100.0}


def test_a_newcomer_has_no_rate_at_first_and_the_others_keep_theirs() -> None:
    rates = Rates[str]()
    rates.update({"eth0": 0}, now=1.0)

    assert rates.update({"eth0": 10, "eth1": 10**12}, now=2.0) == {"eth0": 10.0}
    assert rates.update({"eth0": 20, "eth1": 10**12 + 5}, now=3.0) == {"eth0": 10.0, "eth1": 5.0}


def test_one_that_went_away_and_came_back_is_a_newcomer() -> None:
    rates = Rates[str]()
    rates.update({"eth1": 10}, now=1.0)
    rates.update({}, now=2.0)

    assert rates.update({"eth1": 10**12}, now=3.0) == {}


def test_two_readings_at_one_moment_give_no_rate() -> None:
    rates = Rates[str]()
    rates.update({"eth0": 10}, now=1.0)

    assert rates.update({"eth0": 20}, now=1.0) == {}
