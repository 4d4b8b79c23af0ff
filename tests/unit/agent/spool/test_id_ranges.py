import random

from agent.spool.id_ranges import IdRanges


def ids(ranges: IdRanges) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def test_ranges_hold_the_same_ids_as_a_set() -> None:
    dice = random.Random(7)
    ranges, model = IdRanges(), set[int]()
    for _ in range(500):
        first = dice.randrange(100)
        last = first + dice.randrange(12)
        if dice.random() < 0.6:
            ranges.add(first, last)
            model |= {*range(first, last + 1)}
        else:
            ranges.discard(first, last)
            model -= {*range(first, last + 1)}
        assert ids(ranges) == model
        assert bool(ranges) == bool(model)


def test_ranges_that_touch_become_one() -> None:
    ranges = IdRanges()
    ranges.add(1, 2)
    ranges.add(5, 6)
    ranges.add(3, 4)

    assert list(ranges) == [(1, 6)]


def test_the_closest_ranges_are_joined() -> None:
    ranges = IdRanges()
    for number in (1, 10, 12, 30):
        ranges.add(number, number)

    ranges.join_closest(2)

    assert list(ranges) == [(1, 12), (30, 30)]


def test_the_oldest_ranges_are_dropped() -> None:
    ranges = IdRanges()
    for number in (1, 10, 12):
        ranges.add(number, number)

    ranges.drop_oldest(2)

    assert list(ranges) == [(10, 10), (12, 12)]
