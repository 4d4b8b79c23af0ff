import asyncio

from agent.base.backoff import Backoff, wait
from tests.fixtures.waiting import soon


def test_delays_grow_to_the_most_and_start_small_again_after_a_reset() -> None:
    backoff = Backoff(first=1.0, most=5.0)

    limits = [1.0, 2.0, 4.0, 5.0, 5.0]
    assert all(0 <= backoff.next() <= limit for limit in limits)
    backoff.reset()
    assert backoff.next() <= 1.0


def test_delays_are_random() -> None:
    assert len({Backoff(first=1.0, most=1.0).next() for _ in range(20)}) > 1


async def test_a_wait_ends_when_the_event_is_set() -> None:
    event = asyncio.Event()
    waiting = asyncio.ensure_future(wait(event, 60.0))
    await asyncio.sleep(0)
    assert not waiting.done()

    event.set()

    await soon(waiting)


async def test_a_wait_ends_after_its_time() -> None:
    await soon(wait(asyncio.Event(), 0.0))
