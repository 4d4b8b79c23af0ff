"""A container's log, followed: between a screen's WebSocket and the agent.

The agent sends no more than a window's bytes ahead of what the screen was sent, and the screen is
sent no more than so many lines ahead of what it acknowledged. So a screen that does not read
holds up the agent, which then does not read from the engine.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from secrets import token_hex
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import structlog
from litestar import websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath
from nats.aio.msg import Msg

from flotilla.v1.command_pb2 import PtyAction
from services.gateway import errors, sockets
from services.gateway.container_records import LineReader
from services.gateway.container_schemas import CONTAINER_PATTERN, LogLine
from services.gateway.containers import MAX_TAIL
from services.gateway.credentials import Claims
from services.gateway.guard import PUBLIC, address
from services.gateway.runtime import Runtime, UseRuntime
from services.gateway.store import fleet
from services.kit import database, subjects
from services.kit.access import Action, Actor
from services.kit.commands import MAX_TIMEOUT, CommandError, OfflineError, new_command
from services.kit.errors import TransientError
from services.kit.sessions import WINDOW, AgentSession

log = structlog.get_logger(__name__)

FOLLOWERS = 200  # of this gateway
LEASE = 30.0  # seconds without a word from here after which the agent ends it
UNACKNOWLEDGED = 5_000  # lines
BATCH = 500  # lines a frame
TICK = 1.0  # seconds
DEFAULT_TAIL = "200"
LOGGED_OUT = 4401
NOT_UNDERSTOOD = 1008  # RFC 6455: policy violation

_CONTAINER = re.compile(CONTAINER_PATTERN)


class Ack(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["ack"]
    count: Annotated[int, msgspec.Meta(ge=0)]


@websocket("/vps/{vps_id:uuid}/docker/containers/{cid:str}/logs/follow", opt={PUBLIC: True})
async def follow(
    socket: sockets.Socket, vps_id: FromPath[UUID], cid: FromPath[str], runtime: UseRuntime
) -> None:
    async with sockets.refusals(socket):
        async with database.transaction(runtime.pool) as connection:
            vps = await fleet.get(connection, vps_id=vps_id)
        claims, actor = await sockets.admit(
            *(socket, runtime, f"vps/{vps_id}/docker/containers/{cid}/logs/follow"),
            Action.DOCKER_READ,
            None if vps is None else vps.user_id,
        )
        tail = socket.query_params.get("tail", DEFAULT_TAIL)
        if vps is None or not _CONTAINER.fullmatch(cid):
            raise errors.not_found()
        follower = Follower(socket, runtime, actor, vps_id=str(vps_id), container=cid)
        if not (re.fullmatch("[0-9]{1,5}", tail) and 1 <= int(tail) <= MAX_TAIL):
            problem = errors.invalid(f"`tail` is a number from 1 to {MAX_TAIL}.")
            follower.note(problem)
            raise problem
        await runtime.work.start("log", FOLLOWERS, partial(follower.run, claims, tail=int(tail)))


class Follower:
    def __init__(
        self, socket: sockets.Socket, runtime: Runtime, actor: Actor, *, vps_id: str, container: str
    ) -> None:
        self._socket = socket
        self._runtime = runtime
        self._actor = actor
        self._vps_id = vps_id
        self._container = container
        self._id = token_hex(16)
        self._agent = AgentSession(
            *(runtime.bus, runtime.signer), session_id=self._id, vps_id=vps_id, lease=LEASE
        )
        self._reader = LineReader()
        self._waiting: deque[LogLine] = deque()
        # How many lines there were in all when so many bytes had arrived.
        self._marks: deque[tuple[int, int]] = deque()
        self._received = 0  # lines
        self._sent = 0  # lines
        self._acknowledged = 0  # lines
        self._passed_on = 0  # bytes of the agent's whose lines were sent
        self._to_tend = asyncio.Event()
        self._to_send = asyncio.Event()
        self._ended: str | None = None
        self._close_code = 1000

    async def run(self, claims: Claims, *, tail: int) -> None:
        """Until the log ends, the screen leaves, or its log-in ends.

        Raises:
            RequestError: it does not begin.
        """
        async with self._begun(tail):
            await self._socket.accept()
            watch = sockets.watch_session(self._runtime, claims, self._actor)
            watching = asyncio.create_task(watch, name="watch")
            parts: tuple[Callable[[], Awaitable[None]], ...] = (
                self._tend,
                self._send,
                self._receive,
            )
            tasks = [watching, *(asyncio.ensure_future(part()) for part in parts)]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if watching.done():
                    self._close_code = LOGGED_OUT
            finally:
                for task in tasks:
                    task.cancel()
                for error in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(error, Exception):
                        log.error("follower_failed", session=self._id, exc_info=error)
        with suppress(WebSocketDisconnect, RuntimeError, OSError):
            await self._socket.close(code=self._close_code)

    @asynccontextmanager
    async def _begun(self, tail: int) -> AsyncIterator[None]:
        """Raises: RequestError."""
        connection = self._runtime.bus
        async with AsyncExitStack() as stack:
            for subject in (subjects.pty_output(self._id), self._agent.inbox):
                await stack.enter_async_context(connection.subscribed(subject, self._take))
            problem = await self._start(tail)
            self.note(problem)
            if problem is not None:
                raise problem
            try:
                yield
            finally:
                with suppress(TransientError):
                    await self._agent.close("nobody follows it any more")

    async def _start(self, tail: int) -> errors.RequestError | None:
        command = new_command(self._vps_id, self._actor.username, timeout=MAX_TIMEOUT)
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
            await self._agent.start(self._runtime.signer.sign(command))
        except OfflineError:
            return errors.offline()
        except CommandError as error:
            return errors.failed_there(error.failure, error.status, str(error))
        except TransientError:
            return errors.unanswered()
        return None

    def note(self, problem: errors.RequestError | None) -> None:
        self._runtime.trail.note(
            actor=f"user:{self._actor.id}",
            action="docker.follow",
            object=f"vps:{self._vps_id}",
            allowed=problem is None or problem.status not in {403, 409, 422},
            reason="" if problem is None else str(problem),
            peer=address(self._socket),
            detail=self._container,
        )

    # --- the agent's side ---

    async def _take(self, message: Msg) -> None:
        data = self._agent.take(message)
        lines = list(self._reader.feed(data))
        if self._agent.is_over:
            lines += self._reader.end()
        if data or lines:
            self._waiting += lines
            self._received += len(lines)
            self._marks.append((self._received, self._agent.received))
        self._to_tend.set()
        self._to_send.set()

    async def _tend(self) -> None:
        """Acknowledge, and notice the end."""
        while True:
            self._to_tend.clear()
            now = time.monotonic()
            if self._runtime.bus.connected:
                with suppress(TransientError):
                    await self._agent.work(now, self._passed_on)
            if self._ended is None and (reason := self._ending(now)):
                self._ended = reason
                self._to_send.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(self._agent.next_at() - now, 0.05), TICK)):
                    await self._to_tend.wait()

    def _ending(self, now: float) -> str:
        """Why it is over; empty while it is not."""
        said = self._agent.exit
        if self._agent.is_over and said is not None:
            ended = "the Docker engine went away" if said.exit_code else "the container has stopped"
            return said.reason or ended
        return "the server was away for too long" if self._agent.given_up(now) else ""

    # --- the screen's side ---

    async def _send(self) -> None:
        with suppress(WebSocketDisconnect, TimeoutError, OSError):
            while self._waiting or self._ended is None:
                self._to_send.clear()
                room = self._acknowledged + UNACKNOWLEDGED - self._sent
                if not self._waiting or room <= 0:
                    await self._to_send.wait()
                    continue
                count = min(room, BATCH, len(self._waiting))
                self._sent += count
                await self._say({"lines": [self._waiting.popleft() for _ in range(count)]})
                while self._marks and self._marks[0][0] <= self._sent:
                    self._passed_on = self._marks.popleft()[1]
                self._to_tend.set()
            await self._say({"event": "end", "reason": self._ended})

    async def _say(self, frame: dict[str, Any]) -> None:
        """Raises: TimeoutError: the screen takes nothing."""
        async with asyncio.timeout(sockets.SEND_TIMEOUT):
            await self._socket.send_text(msgspec.json.encode(frame).decode())

    async def _receive(self) -> None:
        while True:
            event: Any = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            try:
                ack = msgspec.json.decode(event.get("text") or "", type=Ack)
            except (msgspec.DecodeError, RecursionError):
                self._close_code = NOT_UNDERSTOOD
                return
            if ack.count > self._sent:
                self._close_code = NOT_UNDERSTOOD
                return
            self._acknowledged = max(self._acknowledged, ack.count)
            self._to_send.set()
