"""Supervisor of the runs that this gateway drives: new ones and ones of stopped gateways."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import UUID, uuid4

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge

from flotilla.v1.bus_pb2 import RunCancelRequested
from services.gateway.context import Context
from services.gateway.runs import follow_store, store
from services.gateway.runs.driver import RunDriver
from services.gateway.runs.follow_store import FollowedRun
from services.gateway.runs.journal import CLOSE_TIMEOUT, TakenOverError
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.database import pool as database
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

DRIVEN = Gauge("flotilla_runs_driven", "Runs that this gateway drives")
WAITING = Gauge("flotilla_runs_waiting", "Runs that wait for a gateway with room")
TAKEN_OVER = Counter("flotilla_runs_taken_over_total", "Runs taken over from stopped gateways")


class RunSupervisor:
    def __init__(self, context: Context) -> None:
        self.id = uuid4()
        """Id of this gateway in the rows of the runs that it drives."""
        self._context = context
        self._drivers: dict[UUID, RunDriver] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._not_ours: set[UUID] = set()
        self._writes = asyncio.Semaphore(context.run_limits.writes)
        DRIVEN.set_function(lambda: len(self._tasks))

    async def supervise(self) -> None:
        """Take over runs and renew claims until cancelled."""
        while True:
            self._context.runs_queued.clear()
            try:
                await self._claim_runs()
            except TransientError as error:
                log.warning("runs_not_followed", error=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._context.timing.commands.heartbeat):
                    await self._context.runs_queued.wait()

    @asynccontextmanager
    async def driving(self) -> AsyncIterator[None]:
        """Release all runs at the end of the block, so that other gateways claim them at once."""
        connection = self._context.bus
        try:
            async with connection.subscribed(subjects.RUN_CANCEL_ALL, self._on_cancel):
                yield
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(TransientError, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    async with database.transaction(self._context.pool) as transaction:
                        await follow_store.release(transaction, follower=self.id)

    async def _claim_runs(self) -> None:
        timing, room = self._context.timing.commands, 0
        if self._context.bus.connected:
            room = max(self._context.run_limits.runs - len(self._tasks), 0)
        async with database.transaction(self._context.pool) as connection:
            driven = list(self._drivers)
            not_ours = await follow_store.renew(connection, follower=self.id, run_ids=driven)
            taken_over = await follow_store.take_over(
                connection,
                follower=self.id,
                silence=timedelta(seconds=timing.silence),
                limit=room,
            )
            cancels = await follow_store.cancel_requests(connection, run_ids=driven)
            WAITING.set(await store.waiting(connection))
        # A run that just ended removes itself. One that stays until the next heartbeat was taken
        # over, or waits for a server that was removed.
        for run_id in not_ours & self._not_ours & self._tasks.keys():
            log.warning("run_not_ours", run_id=str(run_id))
            self._tasks[run_id].cancel()
        self._not_ours = not_ours
        for run in taken_over:
            self._drive(run)
        self._cancel(cancels)

    def _drive(self, run: FollowedRun) -> None:
        if any(server.status == "running" for server in run.servers):
            TAKEN_OVER.inc()
            log.info("run_taken_over", run_id=str(run.id))
        driver = RunDriver(self._context, run, follower=self.id, writes=self._writes)
        self._drivers[run.id] = driver
        task = asyncio.create_task(self._until_ended(driver), name=f"run {run.id}")
        self._tasks[run.id] = task

    async def _until_ended(self, driver: RunDriver) -> None:
        try:
            await driver.drive()
        except TransientError as error:
            log.warning("run_not_settled", run_id=str(driver.run.id), error=str(error))
        except TakenOverError:
            log.warning("run_claim_lost", run_id=str(driver.run.id))
        except Exception:
            log.exception("run_failed", run_id=str(driver.run.id))
        finally:
            del self._drivers[driver.run.id], self._tasks[driver.run.id]
            self._context.runs_queued.set()

    def _cancel(self, cancels: list[tuple[UUID, UUID, str]]) -> None:
        for run_id, vps_id, username in cancels:
            if (driver := self._drivers.get(run_id)) is not None:
                driver.cancel(vps_id, username)

    async def _on_cancel(self, message: Msg) -> None:
        try:
            run_id = UUID(bus.decode(message.data, RunCancelRequested).run_id)
            if run_id not in self._drivers:
                return
            async with database.transaction(self._context.pool) as connection:
                cancels = await follow_store.cancel_requests(connection, run_ids=[run_id])
        except (PoisonError, ValueError, TransientError) as error:
            # Each heartbeat reads the requests too.
            log.warning("cancel_not_read", error=str(error))
        else:
            self._cancel(cancels)
