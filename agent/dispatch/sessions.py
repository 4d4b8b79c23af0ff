import asyncio
import collections
import contextlib
import dataclasses
import logging
import math

from agent.base.cancellation import cancel
from agent.base.log_throttle import LogThrottle
from agent.commands.channel import Channel
from agent.commands.command_history import CommandHistory
from agent.commands.command_history_db import Row
from agent.commands.errors import (
    CommandFailedError,
    busy,
    conflict,
    forbidden,
    invalid,
    not_found,
    unavailable,
)
from agent.commands.policy import Policy
from agent.commands.signature_check import ID, CommandVerifier, digest
from agent.dispatch.handlers import Handlers
from agent.dispatch.texts import STOPPING, UNKNOWN, switched_off
from agent.terminal.session import MAX_COLUMNS, MAX_ROWS, TerminalSession, is_log, is_valid_size
from flotilla.v1.agent_pb2 import MessageToServer, Powers
from flotilla.v1.command_pb2 import (
    Command,
    CommandRequest,
    CommandResponse,
    PtyAction,
    PtyDataToAgent,
    PtyDataToServer,
    PtyExit,
    PtyInput,
)

log = logging.getLogger(__name__)

MAX_TERMINALS = 8  # including shells in containers
MAX_LOGS = 8
MAX_ENDED = 16  # ended sessions whose owner may not know that yet
MAX_REFUSALS = 64  # that wait to be sent
OPEN_TIMEOUT = 15.0  # seconds
CLOSE_TIMEOUT = 6.0  # seconds
LOG_PERIOD = 5.0  # seconds
EXIT_REFUSED = 126  # a shell's exit code for "found, but cannot be executed"
STOPPED = "the agent was stopped"
CLOSED = "closed"


@dataclasses.dataclass(slots=True)
class _Start:
    """A session whose channel is being opened."""

    is_log: bool
    end_reason: str = ""  # set if it is to be closed as soon as it is open


class SessionManager:
    """Terminal sessions: terminals, container shells and followed logs, each begun by a command."""

    def __init__(
        self,
        policy: Policy,
        verifier: CommandVerifier,
        history: CommandHistory,
        handlers: Handlers,
    ) -> None:
        self._policy = policy
        self._verifier = verifier
        self._history = history
        self._handlers = handlers
        # Round robin: a session whose message was sent moves to the end.
        self._sessions: collections.OrderedDict[str, TerminalSession] = collections.OrderedDict()
        self._running: dict[str, asyncio.Future[None]] = {}
        self._starting: dict[str, _Start] = {}
        self._start_tasks: set[asyncio.Future[None]] = set()
        self._refusals: collections.OrderedDict[str, PtyExit] = collections.OrderedDict()
        self._changed = asyncio.Event()
        self._sending = False
        self._sent = asyncio.Event()
        self._stopping = False
        self._may_log = LogThrottle(LOG_PERIOD)

    def stream_opened(self) -> None:
        self._refusals.clear()
        for session in self._sessions.values():
            session.stream_opened()

    def handle(self, data: PtyDataToAgent) -> None:
        """Pass a message of a session's owner to the session, or start a session."""
        kind, session_id = data.WhichOneof("event"), data.session_id
        if kind == "start":
            self._start(session_id, data.start)
        elif session_id in self._starting:
            if kind == "close":
                self._starting[session_id].end_reason = data.close.reason or CLOSED
        elif session := self._sessions.get(session_id):
            self._pass_on(session, data)
        elif kind != "close":
            gone = not_found("This session does not exist. The agent may have been restarted.")
            self._queue_refusal(session_id, gone)

    def _pass_on(self, session: TerminalSession, data: PtyDataToAgent) -> None:
        session.owner_seen()
        match data.WhichOneof("event"):
            case "input":
                self._add_input(session, data.input)
            case "acknowledge":
                session.acknowledge(data.acknowledge.offset)
            case "resize":
                session.resize(data.resize)
            case "close":
                session.end(data.close.reason or CLOSED)

    def _add_input(self, session: TerminalSession, typed: PtyInput) -> None:
        if not session.accepts(typed):
            return
        try:
            self._verifier.check_input(session.id, typed)
        except CommandFailedError as error:
            if self._may_log():
                log.warning("session %s: input refused: %s", session.id, error)
            return
        session.add_input(typed.data)

    async def next_message(self) -> MessageToServer:
        """Wait for the next message. Calling this means that the last one was sent."""
        now = asyncio.get_running_loop().time
        self._sending = False
        self._sent.set()
        while True:
            self._changed.clear()
            if message := self._next_message(now()):
                self._sending = True
                return MessageToServer(pty_data=message)
            due = min((session.output_due for session in self._sessions.values()), default=math.inf)
            timeout = due - now() if due < math.inf else None
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), timeout)

    def _next_message(self, now: float) -> PtyDataToServer | None:
        if self._refusals:
            session_id, refusal = self._refusals.popitem(last=False)
            return PtyDataToServer(session_id=session_id, exit=refusal)
        for session_id, session in self._sessions.items():
            if message := session.next_message(now):
                self._sessions.move_to_end(session_id)
                return message
        return None

    async def drain(self) -> None:
        """Wait until all messages that can be sent are sent."""
        while (
            self._sending
            or self._refusals
            or not all(session.is_drained for session in self._sessions.values())
        ):
            self._sent.clear()
            await self._sent.wait()

    async def close(self) -> None:
        """End all programs and their processes, and queue the messages that report it."""
        self._stopping = True
        for start in self._starting.values():
            start.end_reason = STOPPED
        if self._start_tasks:
            await asyncio.wait(self._start_tasks, timeout=CLOSE_TIMEOUT)
        for session in self._sessions.values():
            if not session.exit:
                session.end(STOPPED)
        exits = [asyncio.ensure_future(s.exited.wait()) for s in self._sessions.values()]
        if exits:
            await asyncio.wait(exits, timeout=CLOSE_TIMEOUT)
        await cancel(*exits)

    async def discard(self) -> None:
        """Forget all sessions. Call this when their owners can no longer be notified."""
        await cancel(*self._running.values())

    def _start(self, session_id: str, request: CommandRequest) -> None:
        """Begin a session, or answer a repeated start command."""
        try:
            command = self._verify_start(session_id, request)
            row = Row(command.id, digest(request), command.not_before_unix_ms)
            if session := self._sessions.get(session_id):
                if session.start_digest != row.digest:
                    raise conflict("A session with this id exists already. Use a new id.")
                session.repeat_start()
            elif session_id not in self._starting:
                self._starting[session_id] = _Start(is_log(command.pty))
                task = asyncio.ensure_future(self._begin(command, row))
                self._start_tasks.add(task)
                task.add_done_callback(self._start_tasks.discard)
        except CommandFailedError as error:
            self._refuse(session_id, error)

    def _verify_start(self, session_id: str, request: CommandRequest) -> Command:
        command = self._verifier.verify(request)
        if command.WhichOneof("action") != "pty" or not ID.fullmatch(session_id):
            raise invalid("A session can only be started by a command for a session.")
        if command.pty.session_id != session_id:
            raise forbidden("This command is signed for another session.")
        return command

    async def _begin(self, command: Command, row: Row) -> None:
        session_id = command.pty.session_id
        try:
            await self._admit(command, row)
            channel = await self._open(command.pty, row)
        except CommandFailedError as error:
            self._refuse(session_id, error)
            return
        finally:
            end_reason = self._starting.pop(session_id).end_reason
        session = TerminalSession(command.pty, channel, row.digest, self._changed.set)
        self._add(session)
        if end_reason:
            session.end(end_reason)
        await self._history.end(row, CommandResponse(status=CommandResponse.STATUS_FINISHED))

    async def _admit(self, command: Command, row: Row) -> None:
        """Raises: CommandFailedError: the session must not be started (again)."""
        if known := await self._history.find(row):
            failure = known.failure or CommandResponse.FAILURE_CONFLICT
            raise CommandFailedError(failure, known.reason or "This session has ended.")
        self._verifier.check_time(command)
        self._check_allowed(command.pty)
        await self._history.begin(row, persistent=not is_log(command.pty))
        session_id, actor = command.pty.session_id, command.actor[:64]
        log.info("session %s of command %s, asked by %s", session_id, row.id, actor)

    def _check_allowed(self, action: PtyAction) -> None:
        """Raises: CommandFailedError: the policy, the size or the number of sessions forbids it."""
        policy, kind = self._policy, action.kind
        if kind not in PtyAction.Kind.values():
            raise invalid(UNKNOWN)
        log_only = is_log(action)
        if not log_only and not policy.shell:
            raise forbidden(switched_off("The shell is", "shell = true"))
        if log_only and not policy.docker:
            raise forbidden(switched_off("Docker is", 'docker = "read" or docker = "actions"'))
        if kind == PtyAction.KIND_CONTAINER_EXEC and policy.docker != Powers.DOCKER_ACCESS_ACTIONS:
            raise forbidden(switched_off("Docker actions are", 'docker = "actions"'))
        if not log_only and not is_valid_size(action.columns, action.rows):
            raise invalid(
                f"A terminal must have 1 to {MAX_COLUMNS} columns and 1 to {MAX_ROWS} rows;"
                f" {action.columns}x{action.rows} was asked for."
            )
        if self._stopping:
            raise busy(STOPPING)
        self._check_room(log_only=log_only)

    def _check_room(self, *, log_only: bool) -> None:
        """Raises: CommandFailedError: too many logs, or too many terminals (counted separately)."""
        count = sum(
            session.is_log == log_only for session in self._sessions.values() if not session.exit
        )
        # `_starting` includes the session that is checked here.
        count += sum(start.is_log == log_only for start in self._starting.values())
        if log_only and count > MAX_LOGS:
            raise busy(f"{MAX_LOGS} logs are followed on this server already. Close one of them.")
        if not log_only and count > MAX_TERMINALS:
            raise busy(
                f"{MAX_TERMINALS} terminals are open on this server already. Close one of them."
            )

    async def _open(self, action: PtyAction, row: Row) -> Channel:
        try:
            return await asyncio.wait_for(self._open_channel(action), OPEN_TIMEOUT)
        except asyncio.TimeoutError:
            error = unavailable(f"The session did not start within {OPEN_TIMEOUT:g} s. Try again.")
        except CommandFailedError as failed:
            error = failed
        await self._history.end(row, CommandResponse(failure=error.failure, reason=str(error)))
        raise error

    async def _open_channel(self, action: PtyAction) -> Channel:
        if action.kind == PtyAction.KIND_UNSPECIFIED:
            from agent.terminal.pty import Terminal  # noqa: PLC0415  # only when it is used

            return Terminal(action.columns, action.rows)
        docker = self._handlers.docker()
        if action.kind == PtyAction.KIND_CONTAINER_EXEC:
            return await docker.open_shell(action.container, action.columns, action.rows)
        return await docker.follow_logs(action.container, action.tail, action.since_unix_ms)

    def _add(self, session: TerminalSession) -> None:
        self._sessions[session.id] = session
        self._running[session.id] = asyncio.ensure_future(self._run(session))
        self._changed.set()
        ended = [other for other in self._sessions.values() if other.exit]
        for other in ended[: max(len(ended) - MAX_ENDED, 0)]:
            other.end(CLOSED)

    async def _run(self, session: TerminalSession) -> None:
        try:
            await session.run()
        finally:
            del self._sessions[session.id], self._running[session.id]

    def _refuse(self, session_id: str, error: CommandFailedError) -> None:
        if self._may_log():
            log.warning("session %.64s refused: %s", session_id, error)
        self._queue_refusal(session_id, error)

    def _queue_refusal(self, session_id: str, error: CommandFailedError) -> None:
        self._refusals[session_id] = PtyExit(
            exit_code=EXIT_REFUSED, reason=str(error), failure=error.failure
        )
        if len(self._refusals) > MAX_REFUSALS:
            self._refusals.popitem(last=False)
        self._changed.set()
