"""One screen of a terminal, between its WebSocket and the shellproxy that owns the session."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from secrets import token_hex
from typing import Any
from uuid import UUID

import msgspec
import structlog
from google.protobuf.message import Message
from litestar.exceptions import WebSocketDisconnect
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge

from flotilla.v1.shell_pb2 import (
    ShellAnswer,
    ShellAttach,
    ShellBeat,
    ShellClose,
    ShellControl,
    ShellCredit,
    ShellData,
    ShellDetach,
    ShellInput,
    ShellOutput,
    ShellReady,
    ShellRefusal,
    ShellResize,
)
from services.gateway import errors, sockets
from services.gateway.credentials import Claims
from services.gateway.guard import address
from services.gateway.runtime import Runtime
from services.gateway.shell_schemas import Close, Credit, Resize, Said
from services.gateway.shell_sessions import refuse, shell_user
from services.kit import bus, subjects
from services.kit.access import Actor
from services.kit.errors import NobodyServesError, PoisonError, TransientError
from services.kit.windows import ReceiveWindow, SendWindow

log = structlog.get_logger(__name__)

TYPED_AHEAD = 1024 * 1024  # bytes that a program has not taken yet; more is dropped
TYPED_IN_FLIGHT = 64 * 1024  # bytes
INPUT_FRAME = 32 * 1024  # bytes
# Output cannot exceed the screen's window; besides it there are words, which are few.
WAITING_WORDS = 256
BEAT = 10.0  # seconds; the owner gives up on a screen after thrice that
GONE = 20.0  # seconds without anybody who owns the session until it counts as ended
LOST_AGAIN = 1.0  # seconds between questions for the same lost output
AUDIT_AGAIN = 10.0  # seconds between entries about the same watcher who types
COME_AGAIN = 1012  # RFC 6455's registry: service restart
LOGGED_OUT = 4401

SCREENS = Gauge("flotilla_gateway_screens", "Open sockets of terminals")
DROPPED = Counter("flotilla_gateway_input_dropped_total", "Typed input not passed on", ["reason"])
LOST = Counter("flotilla_gateway_output_gaps_total", "Times output of a terminal was missing")

NOT_UNDERSTOOD = (
    "not understood: a text frame is a resize of 1 to 1000 columns and 1 to 500 rows,"
    " a credit, or close"
)


class Screen:
    def __init__(
        self,
        socket: sockets.Socket,
        runtime: Runtime,
        actor: Actor,
        *,
        vps_id: UUID,
        session_id: str,
    ) -> None:
        self._socket = socket
        self._runtime = runtime
        self._actor = actor
        self._vps_id = vps_id
        self._session_id = session_id
        self._subject = subjects.shell_control(session_id)
        self._id = token_hex(8)
        self._driver = False
        self._output = ReceiveWindow()
        self._typed = SendWindow(capacity=TYPED_AHEAD, in_flight=TYPED_IN_FLIGHT)
        self._waiting: deque[str | bytearray] = deque()
        self._arrived = asyncio.Event()
        self._to_type = asyncio.Event()
        self._to_beat = asyncio.Event()
        self._over = False
        self._sent = 0
        self._asked_at = 0.0
        self._audited_at = float("-inf")
        self._said_odd = False
        self._close_code = 1000

    @asynccontextmanager
    async def attached(self, attach: ShellAttach) -> AsyncIterator[None]:
        """Raises: RequestError, TransientError."""
        connection = self._runtime.bus
        async with connection.subscribed(
            subjects.shell_output(self._session_id), self._from_session
        ):
            try:
                answer = await self._runtime.sealed.request(
                    self._subject, self._control(attach=attach), ShellAnswer
                )
            except NobodyServesError:
                raise errors.conflict("Ended", "This terminal has ended.") from None
            if answer.HasField("refusal"):
                refuse(answer.refusal)
            SCREENS.inc()
            try:
                yield
            finally:
                SCREENS.dec()
                with suppress(TransientError):
                    await self._runtime.sealed.publish(
                        self._subject, self._control(detach=ShellDetach())
                    )

    async def relay(self, claims: Claims) -> None:
        """Until the screen leaves, its log-in ends, or the session does."""
        watch = asyncio.create_task(
            sockets.watch_session(self._runtime, claims, self._actor), name="watch"
        )
        parts: tuple[Callable[[], Awaitable[None]], ...] = (
            self._send,
            self._receive,
            self._type,
            self._beat,
        )
        tasks = [watch, *(asyncio.ensure_future(part()) for part in parts)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                self._close_code = LOGGED_OUT
        finally:
            for task in tasks:
                task.cancel()
            for error in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(error, Exception) and not isinstance(error, WebSocketDisconnect):
                    log.error("screen_failed", session=self._session_id, exc_info=error)
            await self._pass_on()  # what was typed just before it left
        with suppress(WebSocketDisconnect, RuntimeError, OSError):
            await self._socket.close(code=self._close_code)

    def _control(self, **event: Message) -> ShellControl:
        user = shell_user(self._actor)
        return ShellControl(attachment_id=self._id, user=user, **event)  # type: ignore[arg-type]

    async def _tell(self, **event: Message) -> None:
        with suppress(TransientError):
            await self._runtime.sealed.publish(self._subject, self._control(**event))

    # --- from the session to the screen ---

    async def _from_session(self, message: Msg) -> None:
        try:
            output = bus.decode(message.data, ShellOutput)
        except PoisonError:
            log.warning("output_unreadable", session=self._session_id)
            return
        if output.attachment_id != self._id:
            return
        match output.WhichOneof("event"):
            case "data":
                self._show(output.data)
            case "taken":
                self._typed.acknowledge(output.taken)
                self._to_type.set()
            case "ready":
                self._driver = output.ready.driver
                self._say(**_ready(self._session_id, output.ready))
            case "viewers":
                viewers = [
                    {"username": viewer.username, "role": _role(driver=viewer.driver)}
                    for viewer in output.viewers.viewers
                ]
                self._say(type="viewers", viewers=viewers)
            case "resize":
                size = output.resize
                self._say(type="resize", columns=size.columns, rows=size.rows)
            case "exit":
                code = output.exit.exit_code if output.exit.HasField("exit_code") else None
                self._end(code, output.exit.reason)
            case "refusal":
                self._complain(output.refusal)

    def _show(self, data: ShellData) -> None:
        fresh = self._output.take(data.offset, data.data)
        if fresh is None:
            now = time.monotonic()
            if now - self._asked_at > LOST_AGAIN:
                LOST.inc()
                self._asked_at = now
                self._to_beat.set()
        elif fresh:
            if self._waiting and isinstance(self._waiting[-1], bytearray):
                self._waiting[-1] += fresh
            else:
                self._waiting.append(bytearray(fresh))
            self._arrived.set()

    def _say(self, **frame: Any) -> None:
        if len(self._waiting) >= WAITING_WORDS:
            self._over = True  # it takes nothing, however long it is given
        else:
            self._waiting.append(msgspec.json.encode(frame).decode())
        self._arrived.set()

    def _complain(self, reason: str) -> None:
        self._say(type="error", reason=reason)

    def _end(self, code: int | None, reason: str) -> None:
        self._say(type="exit", code=code, reason=reason)
        self._over = True

    async def _send(self) -> None:
        with suppress(WebSocketDisconnect, TimeoutError, OSError):
            while self._waiting or not self._over:
                await self._arrived.wait()
                self._arrived.clear()
                while self._waiting:
                    frame = self._waiting.popleft()
                    async with asyncio.timeout(sockets.SEND_TIMEOUT):
                        if isinstance(frame, str):
                            await self._socket.send_text(frame)
                        else:
                            self._sent += len(frame)
                            await self._socket.send_bytes(bytes(frame))

    # --- from the screen to the session ---

    async def _receive(self) -> None:
        while True:
            event: Any = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            typed = event.get("bytes")
            if typed is not None:
                self._take_typed(typed)
            else:
                await self._take_said(event.get("text") or "")

    def _take_typed(self, data: bytes) -> None:
        if not self._driver:
            DROPPED.labels("observer").inc()
            self._complain("you watch this terminal; another screen types in it")
            self._audit_watcher()
        elif self._typed.put(data):
            self._to_type.set()
        else:
            DROPPED.labels("full").inc()
            self._complain(f"the program takes no input: {len(data)} bytes were dropped")

    async def _take_said(self, text: str) -> None:
        try:
            said = msgspec.json.decode(text, type=Said)
        except (msgspec.DecodeError, RecursionError):
            self._refuse(NOT_UNDERSTOOD)
            return
        match said:
            case Resize(columns, rows):
                await self._tell(resize=ShellResize(columns=columns, rows=rows))
            case Credit(offset) if offset > self._sent:
                self._refuse(f"credit for {offset} bytes, of {self._sent} that were sent")
            case Credit(offset):
                await self._tell(credit=ShellCredit(offset=offset))
            case Close() if self._driver:
                await self._tell(close=ShellClose())
            case Close():
                self._refuse("you watch this terminal; who types in it can close it")

    async def _type(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._until_resend()):
                    await self._to_type.wait()
            self._to_type.clear()
            if time.monotonic() >= self._typed.overdue_at():
                self._typed.rewind()
            await self._pass_on()

    async def _pass_on(self) -> None:
        while (frame := self._typed.next(INPUT_FRAME)) is not None:
            offset, data = frame
            await self._tell(input=ShellInput(offset=offset, data=data))

    def _until_resend(self) -> float | None:
        """Seconds; None while nothing is on its way."""
        if not self._typed.waiting:
            return None
        return max(self._typed.overdue_at() - time.monotonic(), 0.0)

    async def _beat(self) -> None:
        """Say that the screen is there; notice when its session is not."""
        heard_at = time.monotonic()
        while True:
            lost = False
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    lost = await self._to_beat.wait()
            self._to_beat.clear()
            beat = ShellBeat(received=self._output.received, lost=lost)
            try:
                answer = await self._runtime.sealed.request(
                    self._subject, self._control(beat=beat), ShellAnswer
                )
            except NobodyServesError:
                if time.monotonic() - heard_at > GONE:
                    self._end(None, "the relay was restarted")
            except TransientError:
                continue  # the bus is away
            else:
                heard_at = time.monotonic()
                if answer.refusal.kind == ShellRefusal.KIND_NOT_FOUND:
                    self._close_code = COME_AGAIN
                    return

    def _refuse(self, reason: str) -> None:
        """What the screen said; one that says such things is audited once."""
        self._complain(reason)
        if not self._said_odd:
            self._said_odd = True
            self._audit("shell.say", reason)

    def _audit_watcher(self) -> None:
        now = time.monotonic()
        if now - self._audited_at > AUDIT_AGAIN:
            self._audited_at = now
            self._audit("shell.type", "who watches cannot type")

    def _audit(self, action: str, reason: str) -> None:
        self._runtime.trail.note(
            actor=f"user:{self._actor.id}",
            action=action,
            object=f"vps:{self._vps_id}",
            allowed=False,
            reason=reason,
            peer=address(self._socket),
            detail=self._session_id,
        )


def _ready(session_id: str, ready: ShellReady) -> dict[str, Any]:
    return {
        "type": "ready",
        "session": session_id,
        "role": _role(driver=ready.driver),
        "recorded": ready.recorded,
        "columns": ready.columns,
        "rows": ready.rows,
        "resumed": ready.resumed,
        "username": ready.username,
    }


def _role(*, driver: bool) -> str:
    return "driver" if driver else "observer"
