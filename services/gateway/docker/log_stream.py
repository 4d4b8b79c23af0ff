"""Follows the log of a container: from the agent to the WebSocket of a viewer.

Flow control has two windows. The agent may send `WINDOW` bytes more than the lines that the viewer
was sent. The viewer may be sent `MAX_UNACKNOWLEDGED` lines more than it has acknowledged. So if a
viewer does not read, the agent stops reading the log.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from secrets import token_hex
from typing import Annotated, Any, Literal

import msgspec
import structlog
from litestar import websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromQuery
from nats.aio.msg import Msg

from flotilla.v1.command_pb2 import PtyAction
from services.gateway.api import errors
from services.gateway.api.problem_types import ProblemType
from services.gateway.docker.containers import MAX_TAIL, ContainerId
from services.gateway.docker.mapping import LineReader
from services.gateway.docker.schemas import LogLine
from services.gateway.realtime import admission
from services.gateway.servers.agent_calls import Agent, UseAgent
from services.gateway.servers.agent_errors import problem_of
from services.kit.access import Action
from services.kit.agents.agent_session import WINDOW, AgentSession
from services.kit.agents.commands import CommandError, OfflineError, new_command
from services.kit.agents.timing import DEFAULT_TIMING
from services.kit.bus import subjects
from services.kit.errors import TransientError

log = structlog.get_logger(__name__)

MAX_FOLLOWERS = 200  # per gateway
LEASE = 30.0  # seconds without a message from the gateway until the agent ends the session
MAX_UNACKNOWLEDGED = 5_000  # lines
MAX_FRAME = 500  # lines
MAX_WAIT = 1.0  # seconds
DEFAULT_TAIL = "200"
POLICY_VIOLATION = 1008  # RFC 6455

REFUSED = {
    ProblemType.VALIDATION,
    ProblemType.AGENT_OFFLINE,
    ProblemType.AGENT_FORBIDDEN,
    ProblemType.AGENT_CONFLICT,
    ProblemType.AGENT_INVALID,
}


class Ack(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["ack"]
    count: Annotated[int, msgspec.Meta(ge=0)]


@websocket(
    "/vps/{vps_id:uuid}/docker/containers/{cid:str}/logs/follow",
    opt=admission.rule(Action.DOCKER_READ),
)
async def follow(
    socket: admission.Socket,
    agent: UseAgent,
    cid: ContainerId,
    tail: FromQuery[str] = DEFAULT_TAIL,
) -> None:
    follower = Follower(socket, agent, container=cid)
    if not (re.fullmatch("[0-9]{1,5}", tail) and 1 <= int(tail) <= MAX_TAIL):
        problem = errors.invalid(f"`tail` must be a number from 1 to {MAX_TAIL}.", "tail")
        follower.record(problem)
        raise problem
    await agent.context.background.start(
        "log", MAX_FOLLOWERS, partial(follower.run, tail=int(tail))
    )


@dataclass(frozen=True, slots=True)
class End:
    reason: str
    type: ProblemType | None = None
    """Problem type; None if the log ended without a failure."""


class Follower:
    def __init__(
        self,
        socket: admission.Socket,
        agent: Agent,
        *,
        container: str,
    ) -> None:
        self._socket = socket
        self._agent = agent
        self._context = agent.context
        self._container = container
        self._id = token_hex(16)
        self._session = AgentSession(
            agent.context.bus,
            agent.context.signer,
            session_id=self._id,
            vps_id=str(agent.server.id),
            lease=LEASE,
        )
        self._reader = LineReader()
        self._waiting: deque[LogLine] = deque()
        # Pairs of (lines, bytes): as many lines were complete when as many bytes had arrived.
        self._positions: deque[tuple[int, int]] = deque()
        self._received = 0  # lines
        self._sent = 0  # lines
        self._acknowledged = 0  # lines
        self._delivered = 0  # bytes of the log whose lines were sent to the viewer
        self._session_wakeup = asyncio.Event()
        self._send_wakeup = asyncio.Event()
        self._ended: End | None = None
        self._close_code = 0

    async def run(self, *, tail: int) -> None:
        """Follow the log until it ends, the viewer disconnects, or its login session ends.

        Raises:
            RequestError: the log cannot be followed.
        """
        async with self._session_open(tail):
            await self._socket.accept()
            code = await admission.relay(self._socket, self._run_session, self._send, self._receive)
        await admission.close(self._socket, self._close_code or code)

    @asynccontextmanager
    async def _session_open(self, tail: int) -> AsyncIterator[None]:
        """Raises: RequestError."""
        connection = self._context.bus
        async with AsyncExitStack() as stack:
            for subject in (subjects.pty_output(self._id), self._session.inbox):
                await stack.enter_async_context(
                    connection.subscribed(subject, self._receive_output)
                )
            problem = await self._start(tail)
            self.record(problem)
            if problem is not None:
                raise problem
            try:
                yield
            finally:
                with suppress(TransientError):
                    await self._session.close("the viewer disconnected")

    async def _start(self, tail: int) -> errors.RequestError | None:
        command = new_command(
            str(self._agent.server.id), self._agent.username, timeout=DEFAULT_TIMING.max_timeout
        )
        command.pty.CopyFrom(
            PtyAction(
                session_id=self._id,
                kind=PtyAction.KIND_CONTAINER_LOGS,
                container=self._container,
                tail=tail,
                window_bytes=WINDOW,
                lease_ms=int(LEASE * 1000),
            )
        )
        try:
            await self._session.start(self._context.signer.sign(command))
        except (CommandError, OfflineError, TransientError) as error:
            return problem_of(error)
        return None

    def record(self, problem: errors.RequestError | None) -> None:
        self._agent.record(
            "docker.follow",
            self._container,
            allowed=problem is None or problem.type not in REFUSED,
            reason="" if problem is None else str(problem),
        )

    # --- from the agent ---

    async def _receive_output(self, message: Msg) -> None:
        data = self._session.take(message)
        lines = list(self._reader.feed(data))
        if self._session.is_over:
            lines += self._reader.end()
        if data or lines:
            self._waiting += lines
            self._received += len(lines)
            self._positions.append((self._received, self._session.received))
        self._session_wakeup.set()
        self._send_wakeup.set()

    async def _run_session(self) -> None:
        """Acknowledge the output that the viewer has, and notice the end of the session."""
        while True:
            self._session_wakeup.clear()
            now = time.monotonic()
            if self._context.bus.connected:
                with suppress(TransientError):
                    await self._session.work(now, self._delivered)
            if self._ended is None and (end := self._ending(now)):
                self._ended = end
                self._send_wakeup.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(self._session.next_at() - now, 0.05), MAX_WAIT)):
                    await self._session_wakeup.wait()

    def _ending(self, now: float) -> End | None:
        """Return the end of the log; None while it goes on."""
        exit_ = self._session.exit
        if self._session.is_over and exit_ is not None:
            if exit_.exit_code:
                reason = exit_.reason or "the Docker engine stopped"
                return End(reason, ProblemType.AGENT_UNAVAILABLE)
            return End(exit_.reason or "the container has stopped")
        if self._session.given_up(now):
            return End("the server was offline for too long", ProblemType.AGENT_OFFLINE)
        return None

    # --- to and from the viewer ---

    async def _send(self) -> None:
        with suppress(WebSocketDisconnect, TimeoutError, OSError):
            while self._waiting or self._ended is None:
                self._send_wakeup.clear()
                room = self._acknowledged + MAX_UNACKNOWLEDGED - self._sent
                if not self._waiting or room <= 0:
                    await self._send_wakeup.wait()
                    continue
                count = min(room, MAX_FRAME, len(self._waiting))
                self._sent += count
                await self._send_frame({"lines": [self._waiting.popleft() for _ in range(count)]})
                while self._positions and self._positions[0][0] <= self._sent:
                    self._delivered = self._positions.popleft()[1]
                self._session_wakeup.set()
            failure = {"type": self._ended.type} if self._ended.type else {}
            await self._send_frame({"event": "end", "reason": self._ended.reason, **failure})

    async def _send_frame(self, frame: dict[str, Any]) -> None:
        """Raises: TimeoutError: the viewer does not read."""
        async with asyncio.timeout(admission.SEND_TIMEOUT):
            await self._socket.send_text(msgspec.json.encode(frame).decode())

    async def _receive(self) -> None:
        while True:
            event: Any = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            try:
                ack = msgspec.json.decode(event.get("text") or "", type=Ack)
            except (msgspec.DecodeError, RecursionError):
                self._close_code = POLICY_VIOLATION
                return
            if ack.count > self._sent:
                self._close_code = POLICY_VIOLATION
                return
            self._acknowledged = max(self._acknowledged, ack.count)
            self._send_wakeup.set()
