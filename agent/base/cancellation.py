"""Cancellation of tasks."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancel the tasks and wait until they have ended, without raising their errors."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        # Before Python 3.12, wait_for() can lose a cancellation, so tasks that have not ended are
        # cancelled again.
        _, pending = await asyncio.wait(pending, timeout=0.1)
    await asyncio.gather(*tasks, return_exceptions=True)


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Run the work to its end, however often the caller is cancelled in the meantime.

    Raises:
        CancelledError: the caller was cancelled. The work has ended.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
    task.result()
