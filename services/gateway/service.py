"""Starts the gateway: its connections, its live data and its HTTP server."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import AsyncExitStack

import structlog
import uvicorn

from services.gateway import agents, orphans
from services.gateway.app import create_app
from services.gateway.live import Live
from services.gateway.observe import observed
from services.gateway.presence import PresenceBoard
from services.gateway.recorder import BATCH, Recorder
from services.gateway.rotation import keep_rotating
from services.gateway.runtime import Runtime
from services.gateway.settings import GatewaySettings
from services.gateway.store import history
from services.gateway.upkeep import keep_up
from services.kit import bus, database, subjects
from services.kit.consumer import Consumer
from services.kit.errors import TransientError
from services.kit.health import Health

log = structlog.get_logger(__name__)

REFRESH = 10.0  # seconds between looks at the list of servers, for other instances' changes
DRAIN = 5  # seconds for requests in flight


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The runner's, for all services of the process.
        yield


async def run(settings: GatewaySettings, health: Health) -> None:
    """Serve until cancelled."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            bus.connect(
                settings,
                subjects.User.GATEWAY,
                settings.nats_gateway_password,
                name="gateway",
            )
        )
        await stack.enter_async_context(bus.status_served(connection, health))
        pool = await stack.enter_async_context(database.open_pool(settings, health, size=16))
        board = PresenceBoard()
        runtime = Runtime(settings, pool, connection, Live(board), health)
        await _load(runtime)
        for subject in (subjects.TELEMETRY_PERFORMANCE_ALL, subjects.TELEMETRY_BUNDLES_ALL):
            await stack.enter_async_context(
                connection.subscribed(subject, runtime.live.on_performance)
            )
        await stack.enter_async_context(
            connection.subscribed(
                subjects.ENROLMENT_REDEEM, agents.enrolment_handler(runtime), queue="gateway"
            )
        )
        recorder, events = Recorder(pool), subjects.Stream.EVENTS
        happened = Consumer(
            *(connection, events, subjects.Durable.GATEWAY_RECORD_EVENTS),
            recorder.record,
            batch=BATCH,
        )
        done = Consumer(
            *(connection, events, subjects.Durable.GATEWAY_RECORD_AUDIT),
            recorder.record_audit,
            batch=BATCH,
        )
        await stack.enter_async_context(runtime.trail.kept())
        await stack.enter_async_context(runtime.work.going_on())
        stack.push_async_callback(orphans.let_go, runtime)
        async with asyncio.TaskGroup() as tasks:
            for name, work in (
                ("presence", board.follow_agents(connection)),
                ("edges", board.follow_edges(connection)),
                ("tick", runtime.live.tick()),
                ("recorder", happened.run()),
                ("audit", done.run()),
                ("reconcile", agents.reconcile(runtime)),
                ("refresh", _refresh(runtime)),
                ("upkeep", keep_up(pool)),
                ("orphans", orphans.keep_following(runtime)),
                ("rotation", keep_rotating(runtime)),
                ("http", _serve(settings, runtime)),
            ):
                tasks.create_task(work, name=name)


async def _load(runtime: Runtime) -> None:
    """The servers and their newest rows, as soon as the schema is there."""
    while True:
        try:
            await runtime.refresh_fleet()
            async with database.transaction(runtime.pool) as connection:
                runtime.live.restore(await history.latest(connection))
        except TransientError as error:
            log.warning("fleet_not_loaded", error=str(error), retry_in=1)
            await asyncio.sleep(1)
        else:
            log.info("fleet_loaded", servers=len(runtime.live.servers))
            return


async def _refresh(runtime: Runtime) -> None:
    while True:
        await asyncio.sleep(REFRESH)
        try:
            await runtime.refresh_fleet()
        except TransientError as error:
            log.warning("fleet_not_refreshed", error=str(error))


async def _serve(settings: GatewaySettings, runtime: Runtime) -> None:
    server = Server(
        uvicorn.Config(
            observed(create_app(runtime)),
            host=settings.http_host,
            port=settings.http_port,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=64 * 1024,
            ws_max_queue=16,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=DRAIN,
            timeout_keep_alive=30,
            h11_max_incomplete_event_size=64 * 1024,
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
