"""Driver of one run: starts the script on each server and follows it to its end."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge

from flotilla.v1.command_pb2 import CancelAction, CommandRequest, ShellAction
from services.gateway.api.problem_types import ProblemType
from services.gateway.context import Context
from services.gateway.runs import follow_store
from services.gateway.runs.follow_store import End, FollowedRun, FollowedServer
from services.gateway.runs.follower import Follower, Script
from services.gateway.runs.journal import Journal
from services.gateway.runs.output import OutputReader, Text
from services.kit.agents.commands import CommandError, OfflineError, execute, new_command
from services.kit.backoff import backoff
from services.kit.bus import connection as bus
from services.kit.database import pool as database
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

BUS_PATIENCE = 30.0  # seconds to wait for the bus before the run fails on a server
BUS_CHECK_INTERVAL = 0.5  # seconds
CANCEL_TIMEOUT = 10.0  # seconds

UNSTARTED = End(
    "failed",
    reason="No gateway was available to start the script in time. Nothing was done.",
    problem=ProblemType.DEPENDENCY_UNAVAILABLE,
)
BUS_UNREACHABLE = End(
    "failed",
    reason="The message bus is not reachable. Nothing was done.",
    problem=ProblemType.DEPENDENCY_UNAVAILABLE,
)
UNRECORDED = End(
    "failed",
    reason="The audit entry of the script could not be stored. Nothing was done.",
    problem=ProblemType.AUDIT_UNAVAILABLE,
)
GATEWAY_FAILED = End(
    "failed",
    reason="The gateway failed. Its log has the details.",
    problem=ProblemType.INTERNAL_ERROR,
)
LOST = End(
    "lost",
    reason="The gateway was stopped while the script was running. It is not known whether the"
    " script finished.",
    problem=ProblemType.AGENT_UNANSWERED,
)

RUNNING = Gauge("flotilla_run_servers_running", "Servers on which this gateway follows a script")
ENDED = Counter("flotilla_run_servers_ended_total", "Servers whose run has ended", ["status"])


class RunDriver:
    def __init__(
        self, context: Context, run: FollowedRun, *, follower: UUID, writes: asyncio.Semaphore
    ) -> None:
        self.run = run
        self._context = context
        self._follower = follower
        self._journal = Journal(context, run_id=run.id, follower=follower, writes=writes)
        self._places = asyncio.Semaphore(context.run_limits.servers)
        self._running: dict[UUID, str] = {}
        """Command ids by server id."""
        self._cancels: dict[UUID, asyncio.Task[None]] = {}
        self._actor = "console" if run.user_id is None else f"user:{run.user_id}"

    async def drive(self) -> None:
        """Start the script on each queued server and follow all servers to their end.

        Raises:
            TakenOverError: another gateway has taken over the run.
            TransientError: the end of the run could not be stored.
        """
        writing = asyncio.create_task(self._journal.write(), name="journal")
        servers = asyncio.create_task(self._drive_all(), name="servers")
        try:
            await asyncio.wait({writing, servers}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            servers.cancel()
            await asyncio.gather(servers, return_exceptions=True)
            over = writing.done()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        (writing if over else servers).result()
        async with database.transaction(self._context.pool) as connection:
            await follow_store.settle(connection, run_id=self.run.id, follower=self._follower)

    async def _drive_all(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for server in self.run.servers:
                tasks.create_task(self._drive(server), name="server")

    def cancel(self, vps_id: UUID, username: str) -> None:
        """Cancel the script on a server as soon as its agent can be reached."""
        command_id = self._running.get(vps_id)
        if command_id is not None and vps_id not in self._cancels:
            work = self._cancel(vps_id, command_id, username)
            self._cancels[vps_id] = asyncio.create_task(work, name="cancel")

    async def _drive(self, server: FollowedServer) -> None:
        try:
            async with self._places:
                await self._to_end(server)
        except Exception:
            log.exception("run_server_failed", run_id=str(self.run.id), vps_id=str(server.vps_id))
            await self._end(server.vps_id, GATEWAY_FAILED)

    async def _to_end(self, server: FollowedServer) -> None:
        vps_id = server.vps_id
        starts = server.status == "queued"
        script = await (self._begin(vps_id) if starts else self._resume(server))
        if script is None:
            return
        self._running[vps_id] = script.command.id
        RUNNING.inc()
        try:
            if server.cancelled_by is not None:
                self.cancel(vps_id, server.cancelled_by)
            await self._follow(script, server, starts=starts)
        finally:
            RUNNING.dec()
            del self._running[vps_id]
            if (cancel := self._cancels.pop(vps_id, None)) is not None:
                cancel.cancel()

    async def _follow(self, script: Script, server: FollowedServer, *, starts: bool) -> None:
        vps_id, timing = server.vps_id, self._context.timing.commands
        reader = OutputReader(stdout_read=server.stdout_read, stderr_read=server.stderr_read)
        seconds = timing.patience(self.run.timeout_seconds)
        if not starts:
            left = 0.0 if server.left is None else server.left.total_seconds()
            seconds = max(left, timing.return_patience)

        async def put(texts: Sequence[Text], truncated: bool) -> None:
            if texts or truncated:
                await self._journal.append(vps_id, texts, truncated=truncated)

        follower = Follower(self._context, script, reader, put)
        end = await follower.follow(seconds=seconds, began=not starts)
        if follower.refused and not starts:
            # The command has expired, and the agent may have deleted its result.
            end = replace(LOST, reason=f"{LOST.reason} ({end.reason})")
        await self._end(vps_id, end, allowed=not follower.refused)

    async def _begin(self, vps_id: UUID) -> Script | None:
        """Sign and store the command; return None if it must not be sent."""
        if self.run.unfollowed_for.total_seconds() > self._context.timing.commands.queue_patience:
            await self._fail_unstarted(vps_id, UNSTARTED)
            return None
        if not await self._wait_for_bus():
            await self._fail_unstarted(vps_id, BUS_UNREACHABLE)
            return None
        command = new_command(
            str(vps_id),
            self.run.username,
            timeout=self.run.timeout_seconds,
            timing=self._context.timing.commands,
        )
        command.shell.CopyFrom(ShellAction(script=self.run.script))
        request = self._context.signer.sign(command)
        patience = self._context.timing.commands.patience(self.run.timeout_seconds)
        if not await self._journal.begin(
            vps_id, request=request.SerializeToString(), patience=patience
        ):
            return None
        try:
            await self._context.audit_log.require(**self._entry(vps_id, "command.begin"))
        except TransientError:
            await self._end(vps_id, UNRECORDED)
            return None
        return Script(request, command)

    async def _fail_unstarted(self, vps_id: UUID, end: End) -> None:
        patience = self._context.timing.commands.return_patience
        if await self._journal.begin(vps_id, request=b"", patience=patience):
            await self._end(vps_id, end)

    async def _resume(self, server: FollowedServer) -> Script | None:
        """Read the command that another gateway sent; return None if it is too old to repeat.

        Raises:
            PoisonError: the stored command cannot be decoded.
        """
        age = timedelta() if server.started_for is None else server.started_for
        if not server.request or age.total_seconds() > self._context.timing.commands.resume_limit:
            await self._end(server.vps_id, LOST)
            return None
        return Script.of(bus.decode(server.request, CommandRequest))

    async def _wait_for_bus(self) -> bool:
        for _ in range(int(BUS_PATIENCE / BUS_CHECK_INTERVAL)):
            if self._context.bus.connected:
                return True
            await asyncio.sleep(BUS_CHECK_INTERVAL)
        return self._context.bus.connected

    async def _end(self, vps_id: UUID, end: End, *, allowed: bool = True) -> None:
        if await self._journal.end(vps_id, end):
            ENDED.labels(end.status).inc()
            self._note(vps_id, "command.run", allowed=allowed, reason=end.reason)

    async def _cancel(self, vps_id: UUID, command_id: str, username: str) -> None:
        """Repeat the cancel command until the agent confirms it or the script ends."""
        timing = self._context.timing.commands
        for pause in backoff(timing.repeat_first, timing.repeat_most):
            command = new_command(str(vps_id), username, timeout=CANCEL_TIMEOUT, timing=timing)
            command.cancel.CopyFrom(CancelAction(command_id=command_id))
            try:
                await execute(self._context.bus, self._context.signer, command, timing)
            except (CommandError, OfflineError, TransientError, PoisonError) as error:
                log.info("run_not_cancelled", vps_id=str(vps_id), error=str(error))
                await asyncio.sleep(pause)
            else:
                return

    def _note(self, vps_id: UUID, action: str, *, allowed: bool = True, reason: str = "") -> None:
        self._context.audit_log.record(
            **self._entry(vps_id, action), allowed=allowed, reason=reason
        )

    def _entry(self, vps_id: UUID, action: str) -> dict[str, str]:
        return {
            "actor": self._actor,
            "action": action,
            "object": f"vps:{vps_id}",
            "peer": self.run.peer,
            "detail": str(self.run.id),
        }
