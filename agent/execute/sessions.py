import asyncio
import collections
import contextlib
import dataclasses
import logging
import math
import time

from agent.execute.channel import Channel
from agent.execute.executed import Executed
from agent.execute.failure import (
    CommandFailedError,
    busy,
    conflict,
    forbidden,
    invalid,
    not_found,
    unavailable,
)
from agent.execute.ledger import Row
from agent.execute.policy import Policy
from agent.execute.session import Session, fits, is_log
from agent.execute.tools import Tools
from agent.execute.trust import NAME, Trust, digest
from agent.seldom import Seldom
from agent.tasks import cancel
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

AT_ONCE = 8  # terminals, and shells in containers
LOGS_AT_ONCE = 8
OVER_LIMIT = 16  # sessions that are over, whose owner may not know yet
NOTICE_LIMIT = 64
OPEN_TIMEOUT = 15.0  # seconds
CLOSE_TIMEOUT = 6.0  # seconds
LOG_PERIOD = 5.0  # seconds
OFF = "{} off on this host; its owner turns that on in the agent's policy.toml there"
REFUSED = 126  # a shell's word for "found, but may not be run"


@dataclasses.dataclass(slots=True)
class _Start:
    """A session that is about to begin."""

    is_log: bool
    unwanted: str = ""  # why it shall not


class Sessions:
    """Terminals, shells in containers and logs that are followed, each begun by a command."""

    def __init__(self, policy: Policy, trust: Trust, executed: Executed, tools: Tools) -> None:
        self._policy = policy
        self._trust = trust
        self._executed = executed
        self._tools = tools
        # In turn: whose frame was sent goes to the end.
        self._sessions: collections.OrderedDict[str, Session] = collections.OrderedDict()
        self._running: dict[str, asyncio.Future[None]] = {}
        self._starting: dict[str, _Start] = {}
        self._starts: set[asyncio.Future[None]] = set()
        self._notices: collections.OrderedDict[str, PtyExit] = collections.OrderedDict()
        self._changed = asyncio.Event()
        self._sending = False
        self._sent = asyncio.Event()
        self._stopping = False
        self._may_log = Seldom(LOG_PERIOD)

    def moved(self) -> None:
        """There is a new stream."""
        self._notices.clear()
        for session in self._sessions.values():
            session.moved()

    def take(self, data: PtyDataToAgent) -> None:
        kind, name = data.WhichOneof("event"), data.session_id
        if kind == "start":
            self._start(name, data.start)
            return
        if name in self._starting:
            if kind == "close":
                self._starting[name].unwanted = data.close.reason or "closed"
            return
        session = self._sessions.get(name)
        if session is None:
            if kind != "close":
                self._notice(
                    name, not_found("there is no such session; the agent may have restarted")
                )
            return
        session.hear()
        match kind:
            case "input":
                self._type(session, data.input)
            case "acknowledge":
                session.acknowledge(data.acknowledge.offset)
            case "resize":
                session.resize(data.resize)
            case "close":
                session.end(data.close.reason or "closed")

    async def next_message(self) -> MessageToServer:
        """Whoever asks for the next has sent the one before."""
        self._sending = False
        self._sent.set()
        while True:
            self._changed.clear()
            now = time.monotonic()
            if message := self._next(now):
                self._sending = True
                return MessageToServer(pty_data=message)
            due = min((session.due for session in self._sessions.values()), default=math.inf)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), due - now if due < math.inf else None)

    async def settled(self) -> None:
        """Wait until all that can be told has been."""
        while (
            self._sending
            or self._notices
            or not all(session.settled for session in self._sessions.values())
        ):
            self._sent.clear()
            await self._sent.wait()

    async def close(self) -> None:
        """End all of them, and what they started."""
        self._stopping = True
        for start in self._starting.values():
            start.unwanted = "the agent was stopped"
        if self._starts:
            await asyncio.wait(self._starts, timeout=CLOSE_TIMEOUT)
        for session in self._sessions.values():
            if not session.exit:
                session.end("the agent was stopped")
        ends = [asyncio.ensure_future(session.over.wait()) for session in self._sessions.values()]
        if ends:
            await asyncio.wait(ends, timeout=CLOSE_TIMEOUT)
        for end in ends:
            end.cancel()

    async def dismiss(self) -> None:
        """Once nobody can be told any more."""
        await cancel(*self._running.values())

    def _next(self, now: float) -> PtyDataToServer | None:
        if self._notices:
            name, notice = self._notices.popitem(last=False)
            return PtyDataToServer(session_id=name, exit=notice)
        for name, session in self._sessions.items():
            if message := session.next(now):
                self._sessions.move_to_end(name)
                return message
        return None

    def _type(self, session: Session, typed: PtyInput) -> None:
        if not session.expects(typed):
            return
        try:
            self._trust.check_input(session.id, typed)
        except CommandFailedError as error:
            if self._may_log():
                log.warning("session %s: input refused: %s", session.id, error)
            return
        session.type(typed.data)

    def _start(self, name: str, request: CommandRequest) -> None:
        try:
            command = self._opened(name, request)
            row = Row(command.id, digest(request), command.not_before_unix_ms)
            if session := self._sessions.get(name):
                if session.begun_by != row.digest:
                    raise conflict("there is such a session already")
                session.begin_again()
            elif name not in self._starting:
                self._starting[name] = _Start(is_log(command.pty))
                start = asyncio.ensure_future(self._begin(command, row))
                self._starts.add(start)
                start.add_done_callback(self._starts.discard)
        except CommandFailedError as error:
            self._refuse(name, error)

    def _opened(self, name: str, request: CommandRequest) -> Command:
        command = self._trust.opened(request)
        if command.WhichOneof("action") != "pty" or not NAME.fullmatch(name):
            raise invalid("a session begins with a command to begin it")
        if command.pty.session_id != name:
            raise forbidden("the command begins another session")
        return command

    async def _begin(self, command: Command, row: Row) -> None:
        name = command.pty.session_id
        try:
            await self._admit(command, row)
            channel = await self._open(command.pty, row)
        except CommandFailedError as error:
            self._refuse(name, error)
            return
        finally:
            unwanted = self._starting.pop(name).unwanted
        session = Session(command.pty, channel, row.digest, self._changed.set)
        self._add(session)
        if unwanted:
            session.end(unwanted)
        await self._executed.end(row, CommandResponse(status=CommandResponse.STATUS_FINISHED))

    async def _admit(self, command: Command, row: Row) -> None:
        """Raises: CommandFailedError: it is not to begin."""
        if known := await self._executed.find(row):
            failure = known.failure or CommandResponse.FAILURE_CONFLICT
            raise CommandFailedError(failure, known.reason or "the session is over")
        self._trust.check_time(command)
        self._check_allowed(command.pty)
        await self._executed.begin(row, lasting=not is_log(command.pty))
        name, actor = command.pty.session_id, command.actor[:64]
        log.info("session %s of command %s, asked by %s", name, row.id, actor)

    def _check_allowed(self, action: PtyAction) -> None:
        policy, kind = self._policy, action.kind
        if kind not in PtyAction.Kind.values():
            raise invalid("the agent does not know such a session: is it older than the server?")
        of_log = is_log(action)
        if not of_log and not policy.shell:
            raise forbidden(OFF.format("the shell is"))
        if of_log and not policy.docker:
            raise forbidden(OFF.format("Docker is"))
        if kind == PtyAction.KIND_CONTAINER_EXEC and policy.docker != Powers.DOCKER_ACCESS_ACTIONS:
            raise forbidden(OFF.format("acting on Docker is"))
        if not of_log and not fits(action.columns, action.rows):
            raise invalid("a terminal has 1 to 1000 columns and 1 to 500 rows")
        if self._stopping:
            raise busy("the agent is about to stop")
        self._check_room(of_log=of_log)

    def _check_room(self, *, of_log: bool) -> None:
        """Logs that are followed take no terminal's place, nor the other way."""
        live = sum(
            session.is_log == of_log for session in self._sessions.values() if not session.exit
        )
        starting = sum(start.is_log == of_log for start in self._starting.values())
        limit, what = (
            (LOGS_AT_ONCE, "logs are followed") if of_log else (AT_ONCE, "terminals are open")
        )
        if live + starting > limit:
            raise busy(f"{limit} {what} there already")

    async def _open(self, action: PtyAction, row: Row) -> Channel:
        try:
            return await asyncio.wait_for(self._channel(action), OPEN_TIMEOUT)
        except asyncio.TimeoutError:
            error = unavailable(f"it did not begin within {OPEN_TIMEOUT:g} s")
        except CommandFailedError as failed:
            error = failed
        await self._executed.end(row, CommandResponse(failure=error.failure, reason=str(error)))
        raise error

    async def _channel(self, action: PtyAction) -> Channel:
        if action.kind == PtyAction.KIND_UNSPECIFIED:
            from agent.execute.terminal import Terminal  # noqa: PLC0415  # when it is first used

            return Terminal(action.columns, action.rows)
        containers = self._tools.containers()
        if action.kind == PtyAction.KIND_CONTAINER_EXEC:
            return await containers.open_shell(action.container, action.columns, action.rows)
        return await containers.follow_logs(action.container, action.tail, action.since_unix_ms)

    def _add(self, session: Session) -> None:
        self._sessions[session.id] = session
        self._running[session.id] = asyncio.ensure_future(self._run(session))
        self._changed.set()
        over = [other for other in self._sessions.values() if other.exit]
        for other in over[: max(len(over) - OVER_LIMIT, 0)]:
            other.end("")

    async def _run(self, session: Session) -> None:
        try:
            await session.run()
        finally:
            del self._sessions[session.id], self._running[session.id]

    def _refuse(self, name: str, error: CommandFailedError) -> None:
        if self._may_log():
            log.warning("session %.64s refused: %s", name, error)
        self._notice(name, error)

    def _notice(self, name: str, error: CommandFailedError) -> None:
        exit_ = PtyExit(exit_code=REFUSED, reason=str(error), failure=error.failure)
        self._notices[name] = exit_
        if len(self._notices) > NOTICE_LIMIT:
            self._notices.popitem(last=False)
        self._changed.set()
