"""Cancellation of tasks."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def propagate_cancellation() -> Iterator[None]:
    """Raise CancelledError after a block that swallowed one, so that the task ends.

    Before Python 3.12, `asyncio.wait_for` loses a cancellation that arrives in the same moment as
    its result (gh-86296). The clients of NATS and PostgreSQL are built on it.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


async def first_completed(
    *work: Coroutine[Any, Any, T], until: asyncio.Future[Any] | None = None
) -> list[asyncio.Task[T]]:
    """Run coroutines until the first one ends or `until` is done, then cancel the others.

    Return one task per coroutine, in the same order. All tasks are done. `task.cancelled()` is False for
    the task that ended by itself; `task.result()` or `task.exception()` has its outcome.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        await asyncio.wait(
            tasks if until is None else [*tasks, until], return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return tasks
