"""The terminal sessions of this instance: limits, rows in the database, and end."""

import asyncio
import re
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge

from flotilla.v1.command_pb2 import Command, CommandRequest, PtyAction
from flotilla.v1.shell_pb2 import ShellOpenRequest, ShellOpenResponse, ShellRefusal
from services.kit.agents.agent_session import WINDOW, AgentSession
from services.kit.agents.commands import CommandError, OfflineError, Signer, new_command
from services.kit.agents.request_signing import SignatureChecker, UntrustedRequestError
from services.kit.bus import audit
from services.kit.bus import connection as bus
from services.kit.database import pool as database
from services.kit.errors import PoisonError, TransientError
from services.shellproxy import store
from services.shellproxy.errors import AgentRefusedError, RefusedError
from services.shellproxy.recording import Recording
from services.shellproxy.session import (
    MAX_COLUMNS,
    MAX_ROWS,
    Ending,
    Owner,
    TerminalSession,
)
from services.shellproxy.settings import ShellproxySettings
from services.shellproxy.timing import TerminalTiming

log = structlog.get_logger(__name__)

USER_LIMIT = 4  # of one user on one server
RECORDING_TIMEOUT = 5.0  # seconds to store the rest of a recording
DRAIN_TIMEOUT = 15.0  # seconds for all sessions to end
END_ATTEMPTS = 3
CONTAINER_ID = re.compile(r"[0-9a-f]{12,64}")
HEARTBEAT_TIMEOUT = timedelta(seconds=20)  # without a heartbeat, a session's instance is gone
RETENTION_INTERVAL = 600.0  # seconds

OPENED = Counter("flotilla_shell_opened_total", "Terminal sessions opened")
REFUSED = Counter(
    "flotilla_shell_refused_total", "Requests to open a terminal that were refused", ["kind"]
)
OPEN = Gauge("flotilla_shell_sessions", "Open terminal sessions of this instance")


class SessionRegistry:
    def __init__(
        self,
        connection: bus.Bus,
        pool: database.Pool,
        settings: ShellproxySettings,
        instance: str,
        timing: TerminalTiming,
    ) -> None:
        self.limit = settings.shell_max_sessions
        self._timing = timing
        self._bus = connection
        self._pool = pool
        self._signer = Signer.of(settings.command_key)
        self._signatures = SignatureChecker(self._signer)
        self._lease = settings.shell_lease_seconds
        self._retention = timedelta(days=settings.keep_recordings_days)
        self._instance = instance
        self._sessions: dict[str, TerminalSession] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._draining = False

    def __len__(self) -> int:
        return len(self._sessions)

    async def on_open(self, message: Msg) -> None:
        # In a task, because the agent's answer may take seconds and other requests must not wait.
        self._spawn(self._answer(message), "open")

    async def send_heartbeats(self) -> None:
        """Record that these sessions are alive, and end those of dead instances, until cancelled."""
        while True:
            try:
                await self._send_heartbeat()
            except TransientError as error:
                log.warning("heartbeat_not_stored", error=str(error))
            await asyncio.sleep(self._timing.heartbeat_interval)

    async def drop_old(self) -> None:
        """Delete recordings and sessions past their retention, until cancelled."""
        while True:
            try:
                async with database.transaction(self._pool) as connection:
                    dropped = await store.drop_old(connection, keep=self._retention)
            except TransientError as error:
                log.warning("retention_postponed", error=str(error))
                dropped = 0
            await asyncio.sleep(0.1 if dropped else RETENTION_INTERVAL)

    async def close(self) -> None:
        """End all sessions, notify their viewers, and store the rest of the recordings."""
        self._draining = True
        for session in self._sessions.values():
            session.close(store.RESTARTED)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=DRAIN_TIMEOUT)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _send_heartbeat(self) -> None:
        heartbeats = [
            store.Heartbeat(session.id, len(session.viewers), session.output_bytes)
            for session in self._sessions.values()
            if session.ending is None
        ]
        async with database.transaction(self._pool) as connection:
            await store.record_heartbeats(
                connection, instance=self._instance, heartbeats=heartbeats
            )
            ended = await store.end_abandoned(connection, timeout=HEARTBEAT_TIMEOUT)
        if ended:
            log.warning("sessions_abandoned", sessions=ended)

    async def _answer(self, message: Msg) -> None:
        try:
            session_id = self._signatures.check(message).hex()
            await self._open(session_id, bus.decode(message.data, ShellOpenRequest))
            response = ShellOpenResponse(session_id=session_id)
            OPENED.inc()
        except RefusedError as error:
            response = ShellOpenResponse(refusal=error.refusal())
        except UntrustedRequestError as error:
            await self._record_untrusted(str(error))
            untrusted = ShellRefusal(kind=ShellRefusal.KIND_UNAVAILABLE, reason=str(error))
            response = ShellOpenResponse(refusal=untrusted)
        except PoisonError as error:
            invalid = ShellRefusal(kind=ShellRefusal.KIND_INVALID, reason=str(error))
            response = ShellOpenResponse(refusal=invalid)
        except TransientError as error:
            log.warning("terminal_not_opened", error=str(error))
            unavailable = ShellRefusal(
                kind=ShellRefusal.KIND_UNAVAILABLE,
                reason="The database or NATS is not available. Try again later.",
            )
            response = ShellOpenResponse(refusal=unavailable)
        if response.HasField("refusal"):
            REFUSED.labels(ShellRefusal.Kind.Name(response.refusal.kind)).inc()
        with suppress(TransientError):
            await self._bus.publish(message.reply, response)

    async def _record_untrusted(self, reason: str) -> None:
        await audit.record(
            self._bus,
            actor=audit.ANONYMOUS,
            action="shell.open",
            object="",
            allowed=False,
            reason=reason,
        )

    async def _open(self, session_id: str, request: ShellOpenRequest) -> None:
        """Open a session within the limits.

        Raises: RefusedError, UntrustedRequestError, TransientError.
        """
        _check(request)
        if self._draining:
            raise RefusedError(
                ShellRefusal.KIND_UNAVAILABLE, "The terminal service is restarting. Try again."
            )
        if len(self._sessions) + self._starting >= self.limit:
            raise RefusedError(
                ShellRefusal.KIND_BUSY,
                f"{self.limit} terminals are open, which is the limit. Close one.",
            )
        self._starting += 1
        try:
            async with database.transaction(self._pool) as connection:
                inserted = await store.insert(
                    connection,
                    session_id=session_id,
                    vps_id=request.vps_id,
                    user_id=request.user.id,
                    username=request.user.username,
                    container=request.container,
                    instance=self._instance,
                    limit=USER_LIMIT,
                )
            if not inserted:
                raise RefusedError(
                    ShellRefusal.KIND_BUSY,
                    f"You have {USER_LIMIT} terminals open on this server, which is the limit. Close one.",
                )
            await self._start(session_id, request)
        except psycopg.errors.UniqueViolation:
            raise UntrustedRequestError(
                "used", "its signature was used at another instance"
            ) from None
        finally:
            self._starting -= 1

    async def _start(self, session_id: str, request: ShellOpenRequest) -> None:
        pty = AgentSession(
            self._bus,
            self._signer,
            session_id=session_id,
            vps_id=request.vps_id,
            lease=self._lease,
            start_timeout=self._timing.start_timeout,
        )
        recording = Recording(
            self._pool,
            session_id,
            request.columns,
            request.rows,
            max_wait=self._timing.recording_wait,
        )
        owner = Owner(request.user.id, request.user.username)
        session = TerminalSession(
            self._bus,
            pty=pty,
            recording=recording,
            signatures=self._signatures,
            session_id=session_id,
            owner=owner,
            size=(request.columns, request.rows),
            timing=self._timing,
        )
        await session.listen()
        try:
            await _start_pty(pty, self._signer.sign(self._command(session_id, request)))
        except BaseException:
            await session.unsubscribe()
            with suppress(TransientError):
                async with database.transaction(self._pool) as connection:
                    await store.delete(connection, session_id=session_id)
            raise
        self._sessions[session_id] = session
        OPEN.set(len(self._sessions))
        log.info("terminal_opened", session=session_id, vps_id=request.vps_id, user=owner.user_id)
        if self._draining:
            session.close(store.RESTARTED)
        self._spawn(self._run(session, recording, request.vps_id), f"session {session_id}")

    def _command(self, session_id: str, request: ShellOpenRequest) -> Command:
        timing = self._timing
        command = new_command(request.vps_id, request.user.username, timeout=timing.start_timeout)
        command.timeout_ms = int(timing.age_limit * 1000)
        kind = PtyAction.KIND_CONTAINER_EXEC if request.container else PtyAction.KIND_UNSPECIFIED
        command.pty.CopyFrom(
            PtyAction(
                session_id=session_id,
                columns=request.columns,
                rows=request.rows,
                kind=kind,
                container=request.container,
                window_bytes=WINDOW,
                lease_ms=int(self._lease * 1000),
            )
        )
        return command

    async def _run(self, session: TerminalSession, recording: Recording, vps_id: str) -> None:
        recorded = asyncio.create_task(recording.run(), name=f"recording {session.id}")
        try:
            await session.run()
        except Exception:
            # The failure of one terminal must not end the others.
            log.exception("terminal_failed", session=session.id)
        finally:
            del self._sessions[session.id]
            OPEN.set(len(self._sessions))
            recording.close()
            await asyncio.wait({recorded}, timeout=RECORDING_TIMEOUT)
            recorded.cancel()
            await asyncio.gather(recorded, return_exceptions=True)
            await self._record_end(session, vps_id)

    async def _record_end(self, session: TerminalSession, vps_id: str) -> None:
        ending = session.ending or Ending(
            "an internal error occurred, see the log of the shellproxy"
        )
        log.info("terminal_ended", session=session.id, reason=ending.reason)
        await audit.record(
            self._bus,
            actor=f"user:{session.owner.user_id}",
            action="shell.close",
            object=f"vps:{vps_id}",
            allowed=True,
            reason=ending.reason,
            detail=session.id,
        )
        for _ in range(END_ATTEMPTS):
            try:
                async with database.transaction(self._pool) as connection:
                    await store.end(
                        connection,
                        session_id=session.id,
                        reason=ending.reason,
                        exit_code=ending.exit_code,
                        sent_bytes=session.output_bytes,
                    )
            except TransientError as error:
                # Without heartbeats, `end_abandoned` ends it once the database is back.
                log.warning("end_not_stored", session=session.id, error=str(error))
            else:
                return

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task_failed", task=task.get_name(), exc_info=error)


async def _start_pty(pty: AgentSession, command: CommandRequest) -> None:
    """Start the PTY at the agent.

    Raises: RefusedError.
    """
    try:
        await pty.start(command)
    except OfflineError:
        raise RefusedError(
            ShellRefusal.KIND_OFFLINE, "The server is offline. Try again when it is online."
        ) from None
    except TransientError:
        raise RefusedError(
            ShellRefusal.KIND_UNANSWERED, "The server's agent does not answer. Try again."
        ) from None
    except CommandError as error:
        raise AgentRefusedError(error) from None


def _check(request: ShellOpenRequest) -> None:
    """Check the fields of a request.

    Raises: RefusedError.
    """
    try:
        ids = [str(UUID(text)) == text for text in (request.vps_id, request.user.id)]
    except ValueError:
        ids = [False]
    container = not request.container or CONTAINER_ID.fullmatch(request.container)
    size = 1 <= request.columns <= MAX_COLUMNS and 1 <= request.rows <= MAX_ROWS
    if not (all(ids) and container and size):
        raise RefusedError(
            ShellRefusal.KIND_INVALID,
            f"A terminal needs valid ids, 1 to {MAX_COLUMNS} columns and 1 to {MAX_ROWS} rows.",
        )
