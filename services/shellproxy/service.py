"""Owns terminals: one session is one PTY at an agent, whatever screens come and go."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from services.kit import bus, database, subjects
from services.kit.health import Health
from services.shellproxy.settings import ShellproxySettings
from services.shellproxy.terminals import SESSIONS_LIMIT, Terminals

log = structlog.get_logger(__name__)


async def run(settings: ShellproxySettings, health: Health) -> None:
    """Serve terminals until cancelled; those that run are ended then."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            bus.connect(
                settings,
                subjects.User.SHELLPROXY,
                settings.nats_shellproxy_password,
                name="shellproxy",
            )
        )
        await stack.enter_async_context(bus.status_served(connection, health))
        pool = await stack.enter_async_context(database.open_pool(settings, health, size=4))
        terminals = Terminals(connection, pool, settings, health.instance)
        stack.push_async_callback(terminals.close)
        health.checks["terminals"] = lambda: (
            len(terminals) < SESSIONS_LIMIT,
            f"{len(terminals)} of {SESSIONS_LIMIT} open",
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(terminals.keep(), name="keep")
            tasks.create_task(terminals.tidy(), name="tidy")
            async with connection.subscribed(
                subjects.SHELL_OPEN, terminals.on_open, queue="shellproxy"
            ):
                log.info("shellproxy_serves", instance=health.instance)
                await asyncio.Event().wait()
