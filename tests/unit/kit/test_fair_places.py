from services.kit.fair_places import FairPlaces


def test_a_free_place_displaces_nobody() -> None:
    places = FairPlaces[int](total=2, per_address=2)
    assert places.enter("a", 1) is None
    assert places.next_displaced("b") is None
    assert places.enter("b", 2) is None
    assert len(places) == 2


def test_the_oldest_holder_of_the_largest_address_loses_its_place() -> None:
    places = FairPlaces[int](total=3, per_address=3)
    for address, holder in (("a", 1), ("b", 2), ("b", 3)):
        places.enter(address, holder)
    assert places.next_displaced("c") == 2
    assert places.enter("c", 4) == 2
    assert len(places) == 3


def test_an_address_at_its_limit_displaces_its_own() -> None:
    places = FairPlaces[int](total=10, per_address=2)
    for holder in (1, 2):
        places.enter("a", holder)
    assert places.enter("a", 3) == 1
    assert places.enter("b", 4) is None


def test_a_place_is_freed_once() -> None:
    places = FairPlaces[int](total=1, per_address=1)
    places.enter("a", 1)
    assert places.enter("b", 2) == 1
    places.leave("a", 1)
    assert len(places) == 1
    places.leave("b", 2)
    places.leave("b", 2)
    assert len(places) == 0
    assert places.enter("c", 3) is None
