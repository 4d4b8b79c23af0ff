"""What any one of the gateways does now and then for all."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from services.gateway import orphans
from services.gateway.store import audit, commands
from services.kit import database
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)

INTERVAL = 30.0  # seconds
STEP = 1_000  # rows a transaction
KEEP_AUDIT = timedelta(days=400)
KEEP_COMMANDS = timedelta(days=90)


async def keep_up(pool: database.Pool) -> None:
    """Until cancelled."""
    while True:
        try:
            async with database.transaction(pool) as connection:
                lost = await commands.give_up(connection, reason=orphans.LOST)
            if lost:
                log.warning("commands_lost", count=lost)
            await _forget(pool, audit.delete_old, KEEP_AUDIT)
            await _forget(pool, commands.delete_old, KEEP_COMMANDS)
        except TransientError as error:
            log.warning("upkeep_postponed", error=str(error))
        await asyncio.sleep(INTERVAL)


async def _forget(
    pool: database.Pool, delete: Callable[..., Awaitable[int]], keep: timedelta
) -> None:
    gone = STEP
    while gone == STEP:
        async with database.transaction(pool) as connection:
            gone = await delete(connection, keep=keep, limit=STEP)
