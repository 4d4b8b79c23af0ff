"""The sessions of this instance: opened within limits, kept in the database, ended in order."""

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

from flotilla.v1.command_pb2 import Command, CommandRequest, CommandResponse, PtyAction
from flotilla.v1.shell_pb2 import ShellOpenRequest, ShellOpenResponse, ShellRefusal
from services.kit import audit, bus, database
from services.kit.commands import CommandError, OfflineError, Signer, new_command
from services.kit.errors import PoisonError, TransientError
from services.kit.seals import Seals, UnsealedError
from services.kit.sessions import START_TIMEOUT, WINDOW, AgentSession
from services.shellproxy import store
from services.shellproxy.errors import RefusedError
from services.shellproxy.recording import Recording
from services.shellproxy.session import AGE_LIMIT, MAX_COLUMNS, MAX_ROWS, Ending, Owner, Session
from services.shellproxy.settings import ShellproxySettings

log = structlog.get_logger(__name__)

SESSIONS_LIMIT = 200  # of this instance, with those that begin
USER_LIMIT = 4  # of one user on one server
RECORDING_PATIENCE = 5.0  # seconds for the last of a recording to be stored
DRAIN_PATIENCE = 15.0  # seconds for all to end
END_TRIES = 3
CONTAINER = re.compile(r"[0-9a-f]{12,64}")
BEAT = 5.0  # seconds
SILENCE = timedelta(seconds=20)  # without a beat: its instance is gone
TIDY = 600.0  # seconds between looks for what is too old to keep

_KINDS = {
    CommandResponse.FAILURE_NOT_FOUND: ShellRefusal.KIND_NOT_FOUND,
    CommandResponse.FAILURE_CONFLICT: ShellRefusal.KIND_CONFLICT,
    CommandResponse.FAILURE_INVALID: ShellRefusal.KIND_INVALID,
    CommandResponse.FAILURE_BUSY: ShellRefusal.KIND_BUSY,
    CommandResponse.FAILURE_UNAVAILABLE: ShellRefusal.KIND_UNAVAILABLE,
}

OPENED = Counter("flotilla_shell_opened_total", "Terminals opened")
REFUSED = Counter("flotilla_shell_refused_total", "Terminals not opened", ["kind"])
OPEN = Gauge("flotilla_shell_sessions", "Terminals of this instance")


class Terminals:
    def __init__(
        self,
        connection: bus.Bus,
        pool: database.Pool,
        settings: ShellproxySettings,
        instance: str,
    ) -> None:
        self._bus = connection
        self._pool = pool
        self._signer = Signer.of(settings.command_key)
        self._seals = Seals(self._signer)
        self._lease = settings.shell_lease_seconds
        self._keep = timedelta(days=settings.keep_recordings_days)
        self._instance = instance
        self._sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = 0
        self._draining = False

    def __len__(self) -> int:
        return len(self._sessions)

    async def on_open(self, message: Msg) -> None:
        # The agent's answer may take seconds; others are not to wait for it.
        self._spawn(self._answer(message), "open")

    async def keep(self) -> None:
        """Say that the sessions here live, end those of dead instances, until cancelled."""
        while True:
            try:
                await self._beat()
            except TransientError as error:
                log.warning("beat_missed", error=str(error))
            await asyncio.sleep(BEAT)

    async def tidy(self) -> None:
        """Drop what is too old, until cancelled."""
        while True:
            try:
                async with database.transaction(self._pool) as connection:
                    dropped = await store.drop_old(connection, keep=self._keep)
            except TransientError as error:
                log.warning("tidying_postponed", error=str(error))
                dropped = 0
            await asyncio.sleep(0.1 if dropped else TIDY)

    async def close(self) -> None:
        """End all, tell who watches, store what is left of recordings."""
        self._draining = True
        for session in self._sessions.values():
            session.close(store.RESTARTED)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=DRAIN_PATIENCE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _beat(self) -> None:
        beats = [
            store.Beat(session.id, len(session.screens), session.output_bytes)
            for session in self._sessions.values()
            if session.ending is None
        ]
        async with database.transaction(self._pool) as connection:
            await store.beat(connection, instance=self._instance, beats=beats)
            ended = await store.end_silent(connection, silence=SILENCE)
        if ended:
            log.warning("sessions_lost", sessions=ended)

    async def _answer(self, message: Msg) -> None:
        try:
            session_id = self._seals.check(message).hex()
            await self._open(session_id, bus.decode(message.data, ShellOpenRequest))
            response = ShellOpenResponse(session_id=session_id)
            OPENED.inc()
        except RefusedError as error:
            response = ShellOpenResponse(refusal=error.refusal())
        except UnsealedError as error:
            await self._note_unsealed(str(error))
            unsealed = ShellRefusal(kind=ShellRefusal.KIND_UNAVAILABLE, reason=f"{error}.")
            response = ShellOpenResponse(refusal=unsealed)
        except PoisonError as error:
            invalid = ShellRefusal(kind=ShellRefusal.KIND_INVALID, reason=str(error))
            response = ShellOpenResponse(refusal=invalid)
        except TransientError as error:
            log.warning("terminal_not_opened", error=str(error))
            away = ShellRefusal(
                kind=ShellRefusal.KIND_UNAVAILABLE, reason="The database or the bus is away."
            )
            response = ShellOpenResponse(refusal=away)
        if response.HasField("refusal"):
            REFUSED.labels(ShellRefusal.Kind.Name(response.refusal.kind)).inc()
        with suppress(TransientError):
            await self._bus.publish(message.reply, response)

    async def _note_unsealed(self, reason: str) -> None:
        await audit.record(
            self._bus,
            actor="anonymous",
            action="shell.open",
            object="",
            allowed=False,
            reason=reason,
        )

    async def _open(self, session_id: str, request: ShellOpenRequest) -> None:
        """Raises: RefusedError, UnsealedError, TransientError."""
        _check(request)
        if self._draining:
            raise RefusedError(ShellRefusal.KIND_UNAVAILABLE, "The relay is restarting; try again.")
        if len(self._sessions) + self._starting >= SESSIONS_LIMIT:
            raise RefusedError(
                ShellRefusal.KIND_BUSY, f"{SESSIONS_LIMIT} terminals are open; close some."
            )
        self._starting += 1
        try:
            async with database.transaction(self._pool) as connection:
                taken = await store.insert(
                    connection,
                    session_id=session_id,
                    vps_id=request.vps_id,
                    user_id=request.user.id,
                    username=request.user.username,
                    container=request.container,
                    instance=self._instance,
                    limit=USER_LIMIT,
                )
            if not taken:
                raise RefusedError(
                    ShellRefusal.KIND_BUSY,
                    f"You have {USER_LIMIT} terminals open on this server; close one.",
                )
            await self._start(session_id, request)
        except psycopg.errors.UniqueViolation:
            raise UnsealedError("used", "its seal was used at another instance") from None
        finally:
            self._starting -= 1

    async def _start(self, session_id: str, request: ShellOpenRequest) -> None:
        pty = AgentSession(
            *(self._bus, self._signer),
            session_id=session_id,
            vps_id=request.vps_id,
            lease=self._lease,
        )
        recording = Recording(self._pool, session_id, request.columns, request.rows)
        owner = Owner(request.user.id, request.user.username)
        session = Session(
            *(self._bus, pty, recording, self._seals),
            session_id=session_id,
            owner=owner,
            size=(request.columns, request.rows),
        )
        await session.listen()
        try:
            await _begin(pty, self._signer.sign(self._command(session_id, request)))
        except BaseException:
            await session.silence()
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
        command = new_command(request.vps_id, request.user.username, timeout=START_TIMEOUT)
        command.timeout_ms = int(AGE_LIMIT * 1000)
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

    async def _run(self, session: Session, recording: Recording, vps_id: str) -> None:
        recorded = asyncio.create_task(recording.run(), name=f"recording {session.id}")
        try:
            await session.run()
        except Exception:
            # One terminal's failure is not the others'.
            log.exception("terminal_failed", session=session.id)
        finally:
            del self._sessions[session.id]
            OPEN.set(len(self._sessions))
            recording.close()
            await asyncio.wait({recorded}, timeout=RECORDING_PATIENCE)
            recorded.cancel()
            await asyncio.gather(recorded, return_exceptions=True)
            await self._ended(session, vps_id)

    async def _ended(self, session: Session, vps_id: str) -> None:
        ending = session.ending or Ending("it failed here; the log of the relay says more")
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
        for _ in range(END_TRIES):
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
                # Whoever looks for silent ones ends it, when the database is back.
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


async def _begin(pty: AgentSession, command: CommandRequest) -> None:
    """Raises: RefusedError."""
    try:
        await pty.start(command)
    except OfflineError:
        raise RefusedError(ShellRefusal.KIND_OFFLINE, "The server is offline.") from None
    except TransientError:
        raise RefusedError(
            ShellRefusal.KIND_UNAVAILABLE, "The server's agent does not answer."
        ) from None
    except CommandError as error:
        kind = _KINDS.get(error.failure, ShellRefusal.KIND_FORBIDDEN)
        raise RefusedError(kind, str(error)) from None


def _check(request: ShellOpenRequest) -> None:
    """Raises: RefusedError."""
    try:
        ids = [str(UUID(text)) == text for text in (request.vps_id, request.user.id)]
    except ValueError:
        ids = [False]
    container = not request.container or CONTAINER.fullmatch(request.container)
    size = 1 <= request.columns <= MAX_COLUMNS and 1 <= request.rows <= MAX_ROWS
    if not (all(ids) and container and size):
        raise RefusedError(ShellRefusal.KIND_INVALID, "This is no terminal that could be opened.")
