"""Copies the list of servers from the database to the live hub."""

import asyncio

import structlog

from services.gateway.context import Context
from services.gateway.servers import store
from services.kit.database import pool as database
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)

INTERVAL = 10.0  # seconds between looks for other gateways' changes


async def refresh(context: Context) -> None:
    """Copy the list of servers once.

    Raises:
        TransientError: the database is away.
    """
    async with database.transaction(context.pool) as connection:
        context.live.set_servers(await store.objects(connection))


async def keep_refreshing(context: Context) -> None:
    """Refresh at intervals, until cancelled."""
    while True:
        await asyncio.sleep(INTERVAL)
        try:
            await refresh(context)
        except TransientError as error:
            log.warning("fleet_not_refreshed", error=str(error))
