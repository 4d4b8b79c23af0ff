import asyncio

import pytest

from services.gateway.api.background import BackgroundTasks
from services.gateway.api.errors import RequestError


async def test_a_task_over_the_limit_of_its_kind_is_refused_until_another_ends() -> None:
    tasks, gate = BackgroundTasks(), asyncio.Event()
    first = tasks.start("log", 1, gate.wait)
    with pytest.raises(RequestError):
        _ = tasks.start("log", 1, gate.wait)
    other = tasks.start("pull", 1, gate.wait)
    gate.set()
    assert await first
    assert await other
    assert await tasks.start("log", 1, gate.wait)


async def test_tasks_that_still_run_are_cancelled_at_the_end() -> None:
    tasks = BackgroundTasks()
    async with tasks.cancelled_at_end():
        waiting = tasks.start("log", 1, asyncio.Event().wait)
    assert waiting.cancelled()
