"""Background tasks of requests, with a limit for each kind of task."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from prometheus_client import Gauge

from services.gateway.api import errors

RUNNING = Gauge("flotilla_gateway_work", "Background tasks that are running, by kind", ["kind"])

T = TypeVar("T")


class BackgroundTasks:
    """Tasks that requests start. They continue when the client disconnects."""

    def __init__(self) -> None:
        self._tasks: defaultdict[str, set[asyncio.Task[Any]]] = defaultdict(set)

    def start(
        self, kind: str, limit: int, work: Callable[[], Coroutine[Any, Any, T]]
    ) -> asyncio.Task[T]:
        """Start a task. At most `limit` tasks of one kind run at the same time.

        Raises:
            RequestError: the limit is reached.
        """
        tasks = self._tasks[kind]
        if len(tasks) >= limit:
            raise errors.busy(f"{limit} of these tasks are already running. Try again in a moment.")
        task = asyncio.create_task(work(), name=kind)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        RUNNING.labels(kind).set_function(lambda: len(tasks))
        return task

    @asynccontextmanager
    async def cancelled_at_end(self) -> AsyncIterator[None]:
        """Cancel the tasks that are still running at the end of the block."""
        try:
            yield
        finally:
            left = [task for tasks in self._tasks.values() for task in tasks]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
