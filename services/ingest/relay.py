"""Commands and sessions of one agent's stream, between it and the bus.

Everything is signed for the agent, so nothing is trusted here and nothing judged but size and
number: who may do what is the gateway's to say and the agent's to check.
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
from services.kit import bus, subjects
from services.kit.commands import ANSWER_GRACE, MAX_TIMEOUT
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

COMMANDS_AT_ONCE = 64  # awaiting the agent's answer
SESSIONS_AT_ONCE = 64
SESSION_SILENCE = 300.0  # seconds without a word from its owner before a session is forgotten
FORGET_GRACE = 2 * ANSWER_GRACE  # seconds beyond a command's own time; who asked waits shorter
MAX_REQUEST = 512 * 1024  # bytes
MAX_FRAME = 64 * 1024  # bytes of a session's message to the agent
MAX_ANSWER = 768 * 1024  # bytes of one part, or of one session's message; the bus takes 1 MiB
MAX_PARTS = 16_384  # of one answer, under what `deploy/nats.conf` lets an edge answer
MAX_ANSWER_TOTAL = 16 * 1024 * 1024  # bytes of all parts
# Less than the stream's own queue has room for: what is relayed never ends a stream.
QUEUED_MESSAGES = 128
QUEUED_BYTES = 4 * 1024 * 1024
SESSION = re.compile(r"[A-Za-z0-9-]{1,64}")

RELAYED = Counter("flotilla_edge_relayed_total", "Commands and sessions' messages", ["what"])
DROPPED = Counter("flotilla_edge_relay_dropped_total", "Not relayed", ["what", "reason"])

Failure: TypeAlias = CommandResponse.Failure.ValueType


@dataclass(slots=True)
class _Asked:
    reply: str
    until: float  # monotonic
    parts: int = 0
    size: int = 0


class Relay:
    __slots__ = ("_asked", "_bus", "_outbound", "_queued", "_sessions")

    def __init__(self, connection: bus.Bus, outbound: asyncio.Queue[MessageToAgent]) -> None:
        self._bus = connection
        self._outbound = outbound
        self._queued = 0  # bytes
        self._asked: dict[str, _Asked] = {}  # by the command's id
        self._sessions: dict[str, float] = {}  # when the owner last spoke, monotonic

    async def command(self, message: Msg) -> None:
        """From the bus to the agent; refused at once when it cannot be."""
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
            reason = f"a command has at most {MAX_REQUEST} bytes"
        elif not command.id or len(command.id) > 64:
            failure, reason = CommandResponse.FAILURE_INVALID, "a command has an id"
        elif command.id in self._asked:
            failure, reason = CommandResponse.FAILURE_CONFLICT, "this command is under way already"
        elif len(self._asked) >= COMMANDS_AT_ONCE:
            reason = f"{COMMANDS_AT_ONCE} commands are under way there"
        elif not self._offer(MessageToAgent(command_request=request)):
            reason = "the server does not keep up with what it is sent"
        if reason:
            await self._refuse(message.reply, command.id, failure, reason)
            return
        until = now + min(command.timeout_ms / 1000, MAX_TIMEOUT) + FORGET_GRACE
        self._asked[command.id] = _Asked(message.reply, until)
        RELAYED.labels("command").inc()

    async def answered(self, response: CommandResponse) -> None:
        """From the agent to who asked; dropped when nobody did."""
        asked = self._asked.get(response.command_id)
        if asked is None:
            DROPPED.labels("answer", "unasked").inc()
            return
        size = response.ByteSize()
        asked.size += size
        if (
            size > MAX_ANSWER
            or asked.size > MAX_ANSWER_TOTAL
            or response.part != asked.parts
            or asked.parts >= MAX_PARTS
        ):
            DROPPED.labels("answer", "improper").inc()
            del self._asked[response.command_id]
            too_large = CommandResponse.FAILURE_TOO_LARGE
            await self._end(
                response.command_id, asked, too_large, "the answer is too long, or out of order"
            )
            return
        asked.parts += 1
        if response.last:
            del self._asked[response.command_id]
        try:
            await self._bus.publish(asked.reply, response)
        except TransientError as error:
            DROPPED.labels("answer", "bus").inc()
            log.warning("answer_lost", error=str(error))
        else:
            RELAYED.labels("answer").inc()

    async def pty(self, message: Msg) -> None:
        """From a session's owner to the agent."""
        try:
            data = bus.decode(message.data, PtyDataToAgent)
        except PoisonError:
            DROPPED.labels("frame", "unreadable").inc()
            return
        session = data.session_id
        if not SESSION.fullmatch(session) or len(message.data) > MAX_FRAME:
            DROPPED.labels("frame", "improper").inc()
            return
        is_known = session in self._sessions
        # A close is the last word, after which the agent has nothing to say.
        begins = not is_known and not data.HasField("close")
        if begins and len(self._sessions) >= SESSIONS_AT_ONCE:
            await self._turn_away(data, f"{SESSIONS_AT_ONCE} sessions are open there")
            return
        if not self._offer(MessageToAgent(pty_data=data)):
            await self._turn_away(data, "the server does not keep up with what it is sent")
            return
        if begins or is_known:
            self._sessions[session] = time.monotonic()
        RELAYED.labels("frame").inc()

    async def said(self, data: PtyDataToServer) -> None:
        """From the agent to the session's owner, of sessions that have one here."""
        if data.session_id not in self._sessions:
            DROPPED.labels("output", "unknown").inc()
            return
        if data.ByteSize() > MAX_ANSWER:
            DROPPED.labels("output", "improper").inc()
            return
        if data.HasField("exit"):
            del self._sessions[data.session_id]
        try:
            await self._bus.publish(subjects.pty_output(data.session_id), data)
        except TransientError as error:
            # Its owner acknowledges less than there was, and is sent it again.
            DROPPED.labels("output", "bus").inc()
            log.warning("output_lost", error=str(error))
        else:
            RELAYED.labels("output").inc()

    def sent(self, message: MessageToAgent) -> None:
        """The agent has taken it."""
        if message.WhichOneof("payload") in {"command_request", "pty_data"}:
            self._queued -= message.ByteSize()

    def expire(self, now: float) -> None:
        for command_id in [key for key, asked in self._asked.items() if asked.until < now]:
            del self._asked[command_id]
            DROPPED.labels("command", "unanswered").inc()
        for session in [
            key for key, heard in self._sessions.items() if heard < now - SESSION_SILENCE
        ]:
            del self._sessions[session]

    async def close(self) -> None:
        """Tell who still waits that no answer will come this way."""
        asked, self._asked = self._asked, {}
        for command_id, waiting in asked.items():
            lost = CommandResponse.FAILURE_DISCONNECTED
            await self._end(command_id, waiting, lost, "the connection to the server broke")

    def _offer(self, message: MessageToAgent) -> bool:
        """Queue for the agent, where there is room."""
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
        await self._tell(reply, response)

    async def _end(self, command_id: str, asked: _Asked, failure: Failure, reason: str) -> None:
        response = CommandResponse(
            command_id=command_id,
            status=CommandResponse.STATUS_FAILED,
            part=asked.parts,
            last=True,
            reason=reason,
            failure=failure,
        )
        await self._tell(asked.reply, response)

    async def _turn_away(self, data: PtyDataToAgent, reason: str) -> None:
        DROPPED.labels("frame", "busy").inc()
        if data.HasField("start"):
            busy = PtyExit(reason=reason, failure=CommandResponse.FAILURE_BUSY)
            answer = PtyDataToServer(session_id=data.session_id, exit=busy)
            await self._tell(subjects.pty_output(data.session_id), answer)

    async def _tell(self, subject: str, message: CommandResponse | PtyDataToServer) -> None:
        try:
            await self._bus.publish(subject, message)
        except TransientError as error:
            log.warning("answer_lost", error=str(error))
