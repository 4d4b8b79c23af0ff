import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heeded() -> Iterator[None]:
    """Raises CancelledError after a block that swallowed one, so that the task ends.

    Before Python 3.12 `asyncio.wait_for`, which the clients of NATS and PostgreSQL are built
    on, drops a cancellation that comes in the same moment as what it waits for (gh-86296).
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError
