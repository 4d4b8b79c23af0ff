"""The shellproxy service: owns terminal sessions, each with one PTY at an agent and its viewers."""

import asyncio
from contextlib import AsyncExitStack

import structlog

from services.kit.bus import subjects
from services.kit.database import pool as database
from services.kit.health import Health
from services.kit.service_connection import connect_service
from services.shellproxy.registry import SessionRegistry
from services.shellproxy.settings import ShellproxySettings
from services.shellproxy.timing import DEFAULT_TIMING, TerminalTiming

log = structlog.get_logger(__name__)


async def run(
    settings: ShellproxySettings, health: Health, *, timing: TerminalTiming = DEFAULT_TIMING
) -> None:
    """Serve terminals until cancelled, then end those that are open."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            connect_service(settings, health, settings.nats_shellproxy_password)
        )
        pool = await stack.enter_async_context(database.open_pool(settings, health, size=4))
        registry = SessionRegistry(connection, pool, settings, health.instance, timing)
        stack.push_async_callback(registry.close)
        health.checks["terminals"] = lambda: (
            len(registry) < registry.limit,
            f"{len(registry)} of {registry.limit} open",
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(registry.send_heartbeats(), name="heartbeats")
            tasks.create_task(registry.drop_old(), name="retention")
            async with connection.subscribed(
                subjects.SHELL_OPEN, registry.on_open, queue="shellproxy"
            ):
                log.info("shellproxy_ready", instance=health.instance)
                await asyncio.Event().wait()
