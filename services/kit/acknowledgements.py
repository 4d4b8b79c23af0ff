"""JetStream's answers to what is published into streams.

One subscription and one clock for all of them. The client's own request sets a timer and
a task for each, which took a fifth of the edge's time at a thousand messages a second.
"""

import asyncio
import itertools
import json
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from prometheus_client import Gauge

from services.kit.errors import TransientError

TIMEOUT = 5.0  # seconds
TICK = 1.0  # seconds between looks for what is overdue
PENDING_LIMIT = 20_000  # publishes under way; more are refused at once

PENDING = Gauge("flotilla_bus_publishes_pending", "Publishes that JetStream has not answered")


class _Pending(NamedTuple):
    answer: asyncio.Future[bytes]
    deadline: float  # of the loop's clock


class Acknowledgements:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._numbers = itertools.count()
        self._pending: dict[str, _Pending] = {}  # oldest first
        self._clock: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        await self._client.subscribe(f"{self._inbox}.*", cb=self._take)
        self._tick()

    def stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
        for pending in self._pending.values():
            pending.answer.cancel()
        self._pending.clear()

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> bool:
        """Publish and wait for the stream's word; True when the message was new.

        Raises:
            TransientError: the stream did not take it: away, full, or no answer in time.
        """
        if len(self._pending) >= PENDING_LIMIT:
            raise TransientError(f"{PENDING_LIMIT} publishes are under way")
        loop = asyncio.get_running_loop()
        token = str(next(self._numbers))
        answer: asyncio.Future[bytes] = loop.create_future()
        self._pending[token] = _Pending(answer, loop.time() + TIMEOUT)
        try:
            await self._client.publish(
                subject, payload, reply=f"{self._inbox}.{token}", headers=headers
            )
            word = json.loads(await answer)
        except (NatsError, TimeoutError) as error:
            raise TransientError(f"{subject}: {str(error) or 'no answer in time'}") from error
        finally:
            self._pending.pop(token, None)
        if "error" in word:
            raise TransientError(f"{subject}: {word['error'].get('description')}")
        return not word.get("duplicate", False)

    async def _take(self, message: Msg) -> None:
        pending = self._pending.get(message.subject.rpartition(".")[2])
        if pending is None or pending.answer.done():
            return
        if message.data:
            pending.answer.set_result(message.data)
        else:  # the server's "no responders": no stream has this subject
            pending.answer.set_exception(TransientError("no stream takes this subject"))

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for pending in self._pending.values():
            if pending.deadline > now:
                break
            if not pending.answer.done():
                pending.answer.set_exception(TimeoutError())
        PENDING.set(len(self._pending))
        self._clock = loop.call_later(TICK, self._tick)
