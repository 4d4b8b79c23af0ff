import asyncio

import pytest

from agent.base.cancellation import cancel, finish


async def test_work_ends_although_its_caller_is_cancelled_twice() -> None:
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await may_end.wait()
        ended.set()

    caller = asyncio.ensure_future(finish(work()))
    await begun.wait()
    for _ in range(2):
        caller.cancel()
        await asyncio.sleep(0)
    assert not caller.done()
    may_end.set()

    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()


async def test_an_error_of_the_work_reaches_its_caller() -> None:
    async def work() -> None:
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        await finish(work())


async def test_cancelled_tasks_have_ended_afterwards() -> None:
    task = asyncio.ensure_future(asyncio.sleep(3600))
    await cancel(task)
    assert task.cancelled()
