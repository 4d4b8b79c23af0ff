"""Bridge between the WebSocket of one viewer and the shellproxy that owns the terminal session.

A viewer is either the driver, who types, or an observer, who only sees the output.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from secrets import token_hex
from typing import Any

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
from services.gateway.api import errors
from services.gateway.api.request_audit import RequestAudit
from services.gateway.context import Context
from services.gateway.realtime import admission
from services.gateway.servers import agent_errors
from services.gateway.servers import store as server_store
from services.gateway.servers.access import object_id
from services.gateway.terminals.access import shell_user
from services.gateway.terminals.schemas import Close, Credit, Resize, ViewerFrame
from services.kit.agents.byte_windows import ReceiveWindow, SendWindow
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.errors import NoResponderError, PoisonError, TransientError

log = structlog.get_logger(__name__)

MAX_INPUT = 1024 * 1024  # bytes that the program has not read yet; more is dropped
INPUT_IN_FLIGHT = 64 * 1024  # bytes
INPUT_FRAME = 32 * 1024  # bytes
# Text frames that wait to be sent. The flow control of the session limits the output separately.
MAX_WAITING_FRAMES = 256
HEARTBEAT_INTERVAL = 10.0  # seconds; the shellproxy drops a viewer after three missing heartbeats
OWNER_TIMEOUT = 20.0  # seconds without an owner of the session until it counts as ended
LOSS_REPORT_INTERVAL = 1.0  # seconds between requests for the same lost output
AUDIT_INTERVAL = 10.0  # seconds between audit entries about an observer who types
SERVICE_RESTART = 1012  # WebSocket close code of the IANA registry

VIEWERS = Gauge("flotilla_gateway_terminal_viewers", "Open WebSockets of terminals")
DROPPED = Counter(
    "flotilla_gateway_input_dropped_total", "Frames of typed input that were dropped", ["reason"]
)
LOST = Counter(
    "flotilla_gateway_output_gaps_total",
    "Gaps in the output of terminals; the output was requested again",
)

INVALID_FRAME = (
    "invalid frame: a text frame must be a resize of 1 to 1000 columns and 1 to 500 rows,"
    " a credit, or close"
)


class Viewer:
    """One viewer of a terminal session."""

    def __init__(
        self,
        socket: admission.Socket,
        context: Context,
        audit: RequestAudit,
        *,
        server: server_store.Vps,
        session_id: str,
    ) -> None:
        self._socket = socket
        self._context = context
        self._actor = socket.user
        self._audit_log = audit
        self._server = server
        self._session_id = session_id
        self._subject = subjects.shell_control(session_id)
        self._id = token_hex(8)
        self._is_driver = False
        self._output = ReceiveWindow()
        self._input = SendWindow(capacity=MAX_INPUT, in_flight=INPUT_IN_FLIGHT)
        self._waiting: deque[str | bytearray] = deque()
        self._send_wakeup = asyncio.Event()
        self._input_wakeup = asyncio.Event()
        self._heartbeat_wakeup = asyncio.Event()
        self._ended = False
        self._sent = 0
        self._loss_reported_at = 0.0
        self._audited_at = float("-inf")
        self._invalid_audited = False
        self._close_code = 0

    @asynccontextmanager
    async def attached(self, attach: ShellAttach) -> AsyncIterator[None]:
        """Attach the viewer to the session for the duration of the block.

        Raises:
            RequestError: the session has ended, or the shellproxy refused the viewer.
            TransientError: the shellproxy did not answer.
        """
        connection = self._context.bus
        async with connection.subscribed(
            subjects.shell_output(self._session_id), self._receive_output
        ):
            try:
                answer = await self._context.signing_bus.request(
                    self._subject, self._control(attach=attach), ShellAnswer
                )
            except NoResponderError:
                raise errors.ended("This terminal has ended. Open a new one.") from None
            if answer.HasField("refusal"):
                raise agent_errors.refused_terminal(answer.refusal)
            VIEWERS.inc()
            try:
                yield
            finally:
                VIEWERS.dec()
                with suppress(TransientError):
                    await self._context.signing_bus.publish(
                        self._subject, self._control(detach=ShellDetach())
                    )

    async def relay(self) -> None:
        """Relay frames until the viewer disconnects, its login ends or the terminal ends."""
        try:
            code = await admission.relay(
                self._socket,
                self._send,
                self._receive,
                self._type,
                self._send_heartbeats,
            )
        finally:
            await self._send_input()  # the input that was typed just before
        await admission.close(self._socket, self._close_code or code)

    def _control(self, **event: Message) -> ShellControl:
        user = shell_user(self._actor, self._server.organisation_id)
        return ShellControl(attachment_id=self._id, user=user, **event)  # type: ignore[arg-type]

    async def _publish(self, **event: Message) -> None:
        with suppress(TransientError):
            await self._context.signing_bus.publish(self._subject, self._control(**event))

    # --- from the session to the viewer ---

    async def _receive_output(self, message: Msg) -> None:
        try:
            output = bus.decode(message.data, ShellOutput)
        except PoisonError:
            log.warning("output_unreadable", session=self._session_id)
            return
        if output.attachment_id != self._id:
            return
        match output.WhichOneof("event"):
            case "data":
                self._queue_output(output.data)
            case "taken":
                self._input.acknowledge(output.taken)
                self._input_wakeup.set()
            case "ready":
                self._is_driver = output.ready.driver
                self._queue_frame(**_ready(self._session_id, output.ready))
            case "viewers":
                viewers = [
                    {"username": viewer.username, "role": _role(driver=viewer.driver)}
                    for viewer in output.viewers.viewers
                ]
                self._queue_frame(type="viewers", viewers=viewers)
            case "resize":
                size = output.resize
                self._queue_frame(type="resize", columns=size.columns, rows=size.rows)
            case "exit":
                code = output.exit.exit_code if output.exit.HasField("exit_code") else None
                self._end(code, output.exit.reason)
            case "refusal":
                self._send_error(output.refusal)

    def _queue_output(self, data: ShellData) -> None:
        fresh = self._output.take(data.offset, data.data)
        if fresh is None:
            now = time.monotonic()
            if now - self._loss_reported_at > LOSS_REPORT_INTERVAL:
                LOST.inc()
                self._loss_reported_at = now
                self._heartbeat_wakeup.set()
        elif fresh:
            if self._waiting and isinstance(self._waiting[-1], bytearray):
                self._waiting[-1] += fresh
            else:
                self._waiting.append(bytearray(fresh))
            self._send_wakeup.set()

    def _queue_frame(self, **frame: Any) -> None:
        if len(self._waiting) >= MAX_WAITING_FRAMES:
            self._ended = True  # The viewer does not read.
        else:
            self._waiting.append(msgspec.json.encode(frame).decode())
        self._send_wakeup.set()

    def _send_error(self, reason: str) -> None:
        self._queue_frame(type="error", reason=reason)

    def _end(self, code: int | None, reason: str) -> None:
        self._queue_frame(type="exit", code=code, reason=reason)
        self._ended = True

    async def _send(self) -> None:
        with suppress(WebSocketDisconnect, TimeoutError, OSError):
            while self._waiting or not self._ended:
                await self._send_wakeup.wait()
                self._send_wakeup.clear()
                while self._waiting:
                    frame = self._waiting.popleft()
                    async with asyncio.timeout(admission.SEND_TIMEOUT):
                        if isinstance(frame, str):
                            await self._socket.send_text(frame)
                        else:
                            self._sent += len(frame)
                            await self._socket.send_bytes(bytes(frame))

    # --- from the viewer to the session ---

    async def _receive(self) -> None:
        while True:
            event: Any = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            data = event.get("bytes")
            if data is not None:
                self._receive_input(data)
            else:
                await self._receive_frame(event.get("text") or "")

    def _receive_input(self, data: bytes) -> None:
        if not self._is_driver:
            DROPPED.labels("observer").inc()
            self._send_error("you observe this terminal, and only its driver can type")
            self._audit_observer()
        elif self._input.put(data):
            self._input_wakeup.set()
        else:
            DROPPED.labels("full").inc()
            self._send_error(f"the program does not read its input: {len(data)} bytes were dropped")

    async def _receive_frame(self, text: str) -> None:
        try:
            frame = msgspec.json.decode(text, type=ViewerFrame)
        except (msgspec.DecodeError, RecursionError):
            self._refuse(INVALID_FRAME)
            return
        match frame:
            case Resize(columns, rows):
                await self._publish(resize=ShellResize(columns=columns, rows=rows))
            case Credit(offset) if offset > self._sent:
                self._refuse(
                    f"invalid credit: {offset} bytes are more than the {self._sent} that were sent"
                )
            case Credit(offset):
                await self._publish(credit=ShellCredit(offset=offset))
            case Close() if self._is_driver:
                await self._publish(close=ShellClose())
            case Close():
                self._refuse("you observe this terminal, and only its driver can close it")

    async def _type(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._until_resend()):
                    await self._input_wakeup.wait()
            self._input_wakeup.clear()
            if time.monotonic() >= self._input.overdue_at():
                self._input.rewind()
            await self._send_input()

    async def _send_input(self) -> None:
        while (frame := self._input.next(INPUT_FRAME)) is not None:
            offset, data = frame
            await self._publish(input=ShellInput(offset=offset, data=data))

    def _until_resend(self) -> float | None:
        """Return the seconds until input must be sent again; None if no input is in flight."""
        if not self._input.waiting:
            return None
        return max(self._input.overdue_at() - time.monotonic(), 0.0)

    async def _send_heartbeats(self) -> None:
        """Send heartbeats of the viewer to the shellproxy; end when the session has ended."""
        answered_at = time.monotonic()
        while True:
            lost = False
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_INTERVAL):
                    lost = await self._heartbeat_wakeup.wait()
            self._heartbeat_wakeup.clear()
            heartbeat = ShellBeat(received=self._output.received, lost=lost)
            try:
                answer = await self._context.signing_bus.request(
                    self._subject, self._control(beat=heartbeat), ShellAnswer
                )
            except NoResponderError:
                if time.monotonic() - answered_at > OWNER_TIMEOUT:
                    self._end(None, "the terminal service was restarted")
            except TransientError:
                continue  # The bus is not reachable at the moment.
            else:
                answered_at = time.monotonic()
                if answer.refusal.kind == ShellRefusal.KIND_NOT_FOUND:
                    self._close_code = SERVICE_RESTART
                    return

    def _refuse(self, reason: str) -> None:
        """Report an invalid frame to the viewer; audit the first one."""
        self._send_error(reason)
        if not self._invalid_audited:
            self._invalid_audited = True
            self._audit("shell.say", reason)

    def _audit_observer(self) -> None:
        now = time.monotonic()
        if now - self._audited_at > AUDIT_INTERVAL:
            self._audited_at = now
            self._audit("shell.type", "an observer cannot type")

    def _audit(self, action: str, reason: str) -> None:
        self._audit_log.record(
            object_id(self._server),
            self._session_id,
            action=action,
            allowed=False,
            reason=reason,
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
