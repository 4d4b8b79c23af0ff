"""A writer with a deliberate mistake: it acknowledges before it commits.

The suite runs it to check that its checker finds the samples that are lost.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from nats.aio.msg import Msg

from services.ingest.settings import WriterSettings
from services.ingest.writer import PendingWrites, Writer
from services.kit import observability, runner
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.bus.consumer import Consumer
from services.kit.database import pool as database
from services.kit.health import Health
from services.kit.settings import load

COMMIT_DELAY = 1.0  # seconds, in which it may be killed


class EagerWriter(Writer):
    async def write(self, messages: Sequence[Msg]) -> None:
        taken = PendingWrites()
        for message in messages:
            taken.add(message)
            await message.ack()
        await self._notify_edges(taken)
        await asyncio.sleep(COMMIT_DELAY)
        await super().write(messages)


async def run() -> None:
    settings = load(WriterSettings)
    observability.configure(settings, service="writer")
    async with AsyncExitStack() as stack:
        user, password = subjects.User.WRITER, settings.nats_writer_password
        connection = await stack.enter_async_context(
            bus.connect(settings, user, password, name="writer")
        )
        pool = await stack.enter_async_context(
            database.open_pool(settings, Health("writer"), size=2)
        )
        await Consumer(
            connection,
            subjects.Stream.TELEMETRY,
            subjects.Durable.INGEST_WRITE_TELEMETRY,
            EagerWriter(connection, pool).write,
            batch=500,
        ).run()


if __name__ == "__main__":
    sys.exit(runner.run({"writer": run}))
