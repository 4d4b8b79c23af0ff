"""Relay of commands and sessions between one agent's stream and the bus.

Commands are signed for the agent, and the agent verifies them. The relay therefore checks sizes
and counts only; the gateway decides who may do what.
"""

import asyncio
import re
import time
from dataclasses import dataclass
from typing import TypeAlias

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter

from flotilla.v1.agent_pb2 import MessageToAgent
from flotilla.v1.command_pb2 import (
    Command,
    CommandRequest,
    CommandResponse,
    PtyDataToAgent,
    PtyDataToServer,
    PtyExit,
)
from services.kit.agents.timing import DEFAULT_TIMING, CommandTiming
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

COMMANDS_LIMIT = 64  # commands that wait for the agent's response
SESSIONS_LIMIT = 64
SESSION_TIMEOUT = 300.0  # seconds without a message from its owner until a session is forgotten
MAX_REQUEST = 512 * 1024  # bytes
MAX_FRAME = 64 * 1024  # bytes of a session's message to the agent
MAX_RESPONSE = 768 * 1024  # bytes of one part, or of a session's message; the bus accepts 1 MiB
MAX_PARTS = 16_384  # of one response; less than `deploy/nats.conf` allows an edge to answer
MAX_RESPONSE_TOTAL = 16 * 1024 * 1024  # bytes of all parts
# Lower than the limits of the stream's own queue, so that relayed messages cannot end a stream.
QUEUED_MESSAGES = 128
QUEUED_BYTES = 4 * 1024 * 1024
SESSION_ID = re.compile(r"[A-Za-z0-9-]{1,64}")

RELAYED = Counter(
    "flotilla_edge_relayed_total",
    "Relayed commands, responses, session frames and session output",
    ["what"],
)
DROPPED = Counter(
    "flotilla_edge_relay_dropped_total",
    "Commands, responses, session frames and session output that were not relayed",
    ["what", "reason"],
)

Failure: TypeAlias = CommandResponse.Failure.ValueType

TOO_SLOW = "The agent does not read its messages fast enough. Try again later."


@dataclass(slots=True)
class _PendingCommand:
    reply: str  # subject of its sender
    deadline: float  # monotonic
    parts: int = 0
    size: int = 0  # bytes of all parts so far


class CommandRelay:
    __slots__ = ("_bus", "_commands", "_outbound", "_queued", "_sessions", "_timing")

    def __init__(
        self,
        connection: bus.Bus,
        outbound: asyncio.Queue[MessageToAgent],
        timing: CommandTiming = DEFAULT_TIMING,
    ) -> None:
        self._timing = timing
        self._bus = connection
        self._outbound = outbound
        self._queued = 0  # bytes
        self._commands: dict[str, _PendingCommand] = {}  # by command id
        self._sessions: dict[str, float] = {}  # time of the owner's last message, monotonic

    async def relay_command(self, message: Msg) -> None:
        """Pass a command from the bus to the agent, or refuse it at once."""
        if not message.reply:
            DROPPED.labels("command", "no-reply").inc()
            return
        try:
            request = bus.decode(message.data, CommandRequest)
            command = bus.decode(request.command, Command)
        except PoisonError as error:
            await self._refuse(message.reply, "", CommandResponse.FAILURE_INVALID, str(error))
            return
        now = time.monotonic()
        failure, reason = CommandResponse.FAILURE_BUSY, ""
        if len(message.data) > MAX_REQUEST:
            failure = CommandResponse.FAILURE_TOO_LARGE
            reason = f"The command has {len(message.data)} bytes; the limit is {MAX_REQUEST}."
        elif not command.id or len(command.id) > 64:
            failure = CommandResponse.FAILURE_INVALID
            reason = "The command's id does not have 1 to 64 characters."
        elif command.id in self._commands:
            failure = CommandResponse.FAILURE_CONFLICT
            reason = "A command with this id is already running."
        elif len(self._commands) >= COMMANDS_LIMIT:
            reason = f"{COMMANDS_LIMIT} commands are running on the server. Try again later."
        elif not self._enqueue(MessageToAgent(command_request=request)):
            reason = TOO_SLOW
        if reason:
            await self._refuse(message.reply, command.id, failure, reason)
            return
        timeout = min(command.timeout_ms / 1000, self._timing.max_timeout)
        deadline = now + timeout + self._timing.forget_grace
        self._commands[command.id] = _PendingCommand(message.reply, deadline)
        RELAYED.labels("command").inc()

    async def relay_response(self, response: CommandResponse) -> None:
        """Pass a response from the agent to the command's sender; drop an unrequested one."""
        pending = self._commands.get(response.command_id)
        if pending is None:
            DROPPED.labels("answer", "unasked").inc()
            return
        size = response.ByteSize()
        pending.size += size
        if (
            size > MAX_RESPONSE
            or pending.size > MAX_RESPONSE_TOTAL
            or response.part != pending.parts
            or pending.parts >= MAX_PARTS
        ):
            DROPPED.labels("answer", "improper").inc()
            del self._commands[response.command_id]
            await self._fail(
                response.command_id,
                pending,
                CommandResponse.FAILURE_TOO_LARGE,
                "The response is too large, or its parts are out of order.",
            )
            return
        pending.parts += 1
        if response.last:
            del self._commands[response.command_id]
        try:
            await self._bus.publish(pending.reply, response)
        except TransientError as error:
            DROPPED.labels("answer", "bus").inc()
            log.warning("response_lost", error=str(error))
        else:
            RELAYED.labels("answer").inc()

    async def relay_frame(self, message: Msg) -> None:
        """Pass a session's message from its owner to the agent."""
        try:
            data = bus.decode(message.data, PtyDataToAgent)
        except PoisonError:
            DROPPED.labels("frame", "unreadable").inc()
            return
        session_id = data.session_id
        if not SESSION_ID.fullmatch(session_id) or len(message.data) > MAX_FRAME:
            DROPPED.labels("frame", "improper").inc()
            return
        is_known = session_id in self._sessions
        # A close starts no session: the agent does not answer it.
        starts = not is_known and not data.HasField("close")
        if starts and len(self._sessions) >= SESSIONS_LIMIT:
            await self._reject_frame(
                data, f"{SESSIONS_LIMIT} sessions are open on the server. Close one."
            )
            return
        if not self._enqueue(MessageToAgent(pty_data=data)):
            await self._reject_frame(data, TOO_SLOW)
            return
        if starts or is_known:
            self._sessions[session_id] = time.monotonic()
        RELAYED.labels("frame").inc()

    async def relay_output(self, data: PtyDataToServer) -> None:
        """Pass a session's message from the agent to the owner, if this relay knows the session."""
        if data.session_id not in self._sessions:
            DROPPED.labels("output", "unknown").inc()
            return
        if data.ByteSize() > MAX_RESPONSE:
            DROPPED.labels("output", "improper").inc()
            return
        if data.HasField("exit"):
            del self._sessions[data.session_id]
        try:
            await self._bus.publish(subjects.pty_output(data.session_id), data)
        except TransientError as error:
            # The owner does not acknowledge this output, so the agent sends it again.
            DROPPED.labels("output", "bus").inc()
            log.warning("output_lost", error=str(error))
        else:
            RELAYED.labels("output").inc()

    def on_sent(self, message: MessageToAgent) -> None:
        """Free the queue space of a message that was written to the stream."""
        if message.WhichOneof("payload") in {"command_request", "pty_data"}:
            self._queued -= message.ByteSize()

    def expire(self, now: float) -> None:
        """Forget commands past their deadline and sessions whose owner is silent."""
        for command_id in [
            key for key, pending in self._commands.items() if pending.deadline < now
        ]:
            del self._commands[command_id]
            DROPPED.labels("command", "unanswered").inc()
        for session_id in [
            key for key, heard_at in self._sessions.items() if heard_at < now - SESSION_TIMEOUT
        ]:
            del self._sessions[session_id]

    async def close(self) -> None:
        """Notify the senders of pending commands that no response follows."""
        commands, self._commands = self._commands, {}
        for command_id, pending in commands.items():
            await self._fail(
                command_id,
                pending,
                CommandResponse.FAILURE_DISCONNECTED,
                "The connection to the server was lost.",
            )

    def _enqueue(self, message: MessageToAgent) -> bool:
        """Queue a message for the agent; return False if the queue is full."""
        size = message.ByteSize()
        if self._outbound.qsize() >= QUEUED_MESSAGES or self._queued + size > QUEUED_BYTES:
            return False
        self._queued += size
        self._outbound.put_nowait(message)
        return True

    async def _refuse(self, reply: str, command_id: str, failure: Failure, reason: str) -> None:
        DROPPED.labels("command", "refused").inc()
        response = CommandResponse(
            command_id=command_id,
            status=CommandResponse.STATUS_REFUSED,
            last=True,
            reason=reason,
            failure=failure,
        )
        await self._publish(reply, response)

    async def _fail(
        self, command_id: str, pending: _PendingCommand, failure: Failure, reason: str
    ) -> None:
        response = CommandResponse(
            command_id=command_id,
            status=CommandResponse.STATUS_FAILED,
            part=pending.parts,
            last=True,
            reason=reason,
            failure=failure,
        )
        await self._publish(pending.reply, response)

    async def _reject_frame(self, data: PtyDataToAgent, reason: str) -> None:
        DROPPED.labels("frame", "busy").inc()
        if data.HasField("start"):
            busy = PtyExit(reason=reason, failure=CommandResponse.FAILURE_BUSY)
            answer = PtyDataToServer(session_id=data.session_id, exit=busy)
            await self._publish(subjects.pty_output(data.session_id), answer)

    async def _publish(self, subject: str, message: CommandResponse | PtyDataToServer) -> None:
        try:
            await self._bus.publish(subject, message)
        except TransientError as error:
            log.warning("response_lost", error=str(error))
