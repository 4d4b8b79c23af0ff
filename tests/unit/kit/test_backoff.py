from itertools import islice

from services.kit.backoff import backoff


def test_each_pause_is_twice_as_long_up_to_the_longest() -> None:
    assert list(islice(backoff(0.5, 3.0), 5)) == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_jitter_shortens_each_pause_by_up_to_its_fraction() -> None:
    pauses = list(islice(backoff(1.0, 1.0, jitter=0.5), 100))
    assert all(0.5 <= pause <= 1.0 for pause in pauses)
    assert len(set(pauses)) > 1
