import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from uuid import UUID

from prometheus_client import Gauge

from services.gateway import errors

UNDER_WAY = Gauge("flotilla_gateway_work", "What goes on whoever waits for it", ["kind"])

T = TypeVar("T")


class Work:
    """What a request begins and what goes on when its client goes away."""

    def __init__(self) -> None:
        self._tasks: defaultdict[str, set[asyncio.Task[Any]]] = defaultdict(set)

    def start(
        self, kind: str, limit: int, work: Callable[[], Coroutine[Any, Any, T]]
    ) -> asyncio.Task[T]:
        """Raises: RequestError: so much of that kind is under way."""
        tasks = self._tasks[kind]
        if len(tasks) >= limit:
            raise errors.busy("Too much of this is under way here. Try again in a moment.")
        task = asyncio.create_task(work(), name=kind)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        UNDER_WAY.labels(kind).set_function(lambda: len(tasks))
        return task

    def room(self, kind: str, limit: int) -> int:
        return max(limit - len(self._tasks[kind]), 0)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Cut off at the end of the block."""
        try:
            yield
        finally:
            left = [task for tasks in self._tasks.values() for task in tasks]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)


class Followed(set[UUID]):
    """The scripts that this gateway follows."""

    @contextmanager
    def also(self, command_id: UUID) -> Iterator[None]:
        self.add(command_id)
        try:
            yield
        finally:
            self.discard(command_id)
