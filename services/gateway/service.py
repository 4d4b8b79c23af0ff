"""Starts the gateway: its connections, its live data and its HTTP server."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any

import structlog
import uvicorn

from services.gateway.accounts import revocation
from services.gateway.api.limits import RunLimits
from services.gateway.api.middleware import observed
from services.gateway.app import create_app
from services.gateway.audit import consumer as audit_consumer
from services.gateway.context import Context
from services.gateway.fleet.live_hub import LiveHub
from services.gateway.http_protocol import LimitedHttpProtocol, LimitedSocketProtocol
from services.gateway.maintenance import keep_running
from services.gateway.metrics import store as metric_store
from services.gateway.runs.supervisor import RunSupervisor
from services.gateway.servers import enrolment as agent_enrolment
from services.gateway.servers import event_consumer, live_refresh
from services.gateway.servers.key_rotation import keep_rotating
from services.gateway.settings import GatewaySettings
from services.gateway.timing import DEFAULT_TIMING, GatewayTiming
from services.kit.agents.presence import PresenceBoard
from services.kit.bus import subjects
from services.kit.bus.consumer import Consumer
from services.kit.database import pool as database
from services.kit.errors import TransientError
from services.kit.health import Health
from services.kit.secrets import vault
from services.kit.service_connection import connect_service

log = structlog.get_logger(__name__)

DRAIN = 5  # seconds for requests in flight


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The runner handles signals, for all services of the process.
        yield


async def run(
    settings: GatewaySettings,
    health: Health,
    *,
    timing: GatewayTiming = DEFAULT_TIMING,
    run_limits: RunLimits = RunLimits(),  # noqa: B008  immutable
) -> None:
    """Serve until cancelled."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            connect_service(settings, health, settings.nats_gateway_password)
        )
        pool = await stack.enter_async_context(database.open_pool(settings, health, size=16))
        board = PresenceBoard(timing.presence)
        context = Context(
            settings=settings,
            pool=pool,
            bus=connection,
            live=LiveHub(board, timing.presence),
            health=health,
            timing=timing,
            run_limits=run_limits,
        )
        await _load(context)
        await _subscribe(stack, context)
        supervisor = RunSupervisor(context)
        await stack.enter_async_context(context.audit_log.running())
        await stack.enter_async_context(context.background.cancelled_at_end())
        await stack.enter_async_context(supervisor.driving())
        async with asyncio.TaskGroup() as tasks:
            for name, work in (
                ("presence", board.follow_agents(connection)),
                ("edges", board.follow_edges(connection)),
                ("tick", context.live.tick()),
                *_consumers(context),
                ("reconcile", agent_enrolment.reconcile(context)),
                ("refresh", live_refresh.keep_refreshing(context)),
                ("maintenance", keep_running(pool)),
                ("runs", supervisor.supervise()),
                ("rotation", keep_rotating(context)),
                ("revocation", revocation.keep_checking(context)),
                ("http", _serve(settings, context)),
            ):
                tasks.create_task(work, name=name)


async def _subscribe(stack: AsyncExitStack, context: Context) -> None:
    """Receive live data and requests to enrol, until the stack is closed."""
    for subject in (subjects.TELEMETRY_PERFORMANCE_ALL, subjects.TELEMETRY_BUNDLES_ALL):
        await stack.enter_async_context(
            context.bus.subscribed(subject, context.live.on_performance)
        )
    await stack.enter_async_context(
        context.bus.subscribed(
            subjects.ENROLMENT_REDEEM,
            agent_enrolment.enrolment_handler(context),
            queue="gateway",
        )
    )


def _consumers(context: Context) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
    """Yield the consumers of the events stream, each with its name."""
    events = Consumer(
        context.bus,
        subjects.Stream.EVENTS,
        subjects.Durable.GATEWAY_RECORD_EVENTS,
        event_consumer.EventConsumer(context.pool).record,
        batch=event_consumer.BATCH,
    )
    yield "events", events.run()
    audit_events = Consumer(
        context.bus,
        subjects.Stream.EVENTS,
        subjects.Durable.GATEWAY_RECORD_AUDIT,
        audit_consumer.AuditConsumer(context.pool).record,
        batch=audit_consumer.BATCH,
    )
    yield "audit", audit_events.run()


async def _load(context: Context) -> None:
    """Check the keys and load the servers, as soon as the database has its schema.

    Raises:
        SettingsError: the master key is not the one of this database.
    """
    while True:
        try:
            async with database.transaction(context.pool) as connection:
                await vault.check_keys(connection, context.master_keys)
            await live_refresh.refresh(context)
            async with database.transaction(context.pool) as connection:
                context.live.restore(await metric_store.latest(connection))
        except TransientError as error:
            log.warning("fleet_not_loaded", error=str(error), retry_in=1)
            await asyncio.sleep(1)
        else:
            log.info("fleet_loaded", servers=len(context.live.servers))
            return


async def _serve(settings: GatewaySettings, context: Context) -> None:
    server = Server(
        uvicorn.Config(
            observed(create_app(context), https=settings.public_url.startswith("https:")),
            host=settings.http_host,
            port=settings.http_port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            http=LimitedHttpProtocol,
            ws=LimitedSocketProtocol,
            ws_max_size=64 * 1024,
            ws_max_queue=16,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=DRAIN,
            timeout_keep_alive=30,
        )
    )
    serving = asyncio.ensure_future(server.serve())
    log.info("gateway_listening", address=f"{settings.http_host}:{settings.http_port}")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await asyncio.wait({serving}, timeout=DRAIN + 2)
        raise
