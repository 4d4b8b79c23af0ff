import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable

import pytest

from agent.config import LiveConfig
from agent.execute.hands import Hands
from agent.identity import Identity
from agent.outbox import Outbox
from agent.stream import Timing
from flotilla.v1.metrics_pb2 import PerformanceSnapshot

FAST = Timing(backoff_first=0.01, backoff_most=0.05, flush=0.2)


@dataclasses.dataclass
class Agent:
    identity: Identity
    outbox: Outbox
    hands: Hands
    config: LiveConfig
    stopping: asyncio.Event
    running: asyncio.Future[None]

    def report(self, moment: int) -> None:
        self.outbox.add(PerformanceSnapshot(time_unix_ms=moment))


Start = Callable[..., Agent]


async def logged(caplog: pytest.LogCaptureFixture, text: str, count: int = 1) -> None:
    arrived = asyncio.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if caplog.text.count(text) + (text in record.getMessage()) >= count:
                arrived.set()

    listener = Listener()
    logger = logging.getLogger("agent")
    logger.addHandler(listener)
    with contextlib.ExitStack() as stack:
        stack.callback(logger.removeHandler, listener)
        if caplog.text.count(text) < count:
            await arrived.wait()
