import asyncio

import pytest

from services.kit import cancellation
from services.kit.cancellation import first_completed


async def test_a_cancellation_that_arrives_with_the_result_ends_the_task() -> None:
    answer = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        with cancellation.propagate_cancellation():
            await asyncio.wait_for(answer, 5)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)  # it starts
    answer.set_result(None)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_a_block_that_propagates_cancellation_can_time_out() -> None:
    async def wait() -> None:
        async with asyncio.timeout(0.01):
            with cancellation.propagate_cancellation():
                await asyncio.wait_for(asyncio.sleep(5), 5)

    with pytest.raises(TimeoutError):
        await wait()


async def forever(started: list[str], ended: list[str], name: str) -> None:
    started.append(name)
    try:
        await asyncio.Event().wait()
    finally:
        ended.append(name)


async def value(number: int) -> int:
    await asyncio.sleep(0)
    return number


async def test_the_first_to_complete_cancels_the_others() -> None:
    started: list[str] = []
    ended: list[str] = []
    first, other = await first_completed(value(7), forever(started, ended, "other"))
    assert first.result() == 7
    assert other.cancelled()
    assert started == ended == ["other"]


async def test_a_future_completes_without_being_cancelled_itself() -> None:
    until = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(until.set_result, "done")
    started: list[str] = []
    ended: list[str] = []
    (task,) = await first_completed(forever(started, ended, "work"), until=until)
    assert task.cancelled()
    assert until.result() == "done"

    pending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    (done,) = await first_completed(value(1), until=pending)
    assert done.result() == 1
    assert not pending.done()


async def test_a_failure_is_left_in_its_task() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    failed, other = await first_completed(fail(), asyncio.Event().wait())
    assert str(failed.exception()) == "broken"
    assert other.cancelled()


async def test_cancelling_the_wait_cancels_and_awaits_all_work() -> None:
    started: list[str] = []
    ended: list[str] = []
    waiting = asyncio.create_task(
        first_completed(forever(started, ended, "a"), forever(started, ended, "b"))
    )
    await asyncio.sleep(0)  # it starts
    await asyncio.sleep(0)  # its work starts
    assert sorted(started) == ["a", "b"]
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert sorted(ended) == ["a", "b"]
