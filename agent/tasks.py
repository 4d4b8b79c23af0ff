import asyncio
from typing import Any


async def cancel(*tasks: asyncio.Future[Any]) -> None:
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        # Before Python 3.12 wait_for() loses a cancellation that meets its result, so
        # one that is still there is told again.
        _, pending = await asyncio.wait(pending, timeout=0.1)
    await asyncio.gather(*tasks, return_exceptions=True)
