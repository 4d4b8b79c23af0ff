"""One terminal session: a PTY at an agent, and the viewers that show it."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter

from flotilla.v1.shell_pb2 import (
    ShellAnswer,
    ShellAttach,
    ShellControl,
    ShellExit,
    ShellInput,
    ShellReady,
    ShellRefusal,
    ShellResize,
    ShellUser,
)
from services.kit.agents.agent_session import AgentSession
from services.kit.agents.request_signing import SignatureChecker
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.errors import PoisonError, TransientError
from services.shellproxy.errors import RefusedError
from services.shellproxy.output_budget import OutputBudget
from services.shellproxy.recording import Recording
from services.shellproxy.scrollback import Scrollback
from services.shellproxy.timing import TerminalTiming
from services.shellproxy.viewer import Viewer
from services.shellproxy.viewers import Viewers

log = structlog.get_logger(__name__)

MAX_COLUMNS, MAX_ROWS = 1000, 500
TICK = 1.0  # seconds
SHORT_TICK = 0.1  # seconds
MIN_TICK = 0.001  # seconds
CLOSE_TIMEOUT = 3.0  # seconds for the agent to end the PTY
FLUSH_TIMEOUT = 5.0  # seconds for viewers to receive the rest of the output at the end
# If nothing was sent to a viewer for this time (seconds), output that it has not confirmed counts as lost.
REWIND_AFTER = 2.0

BYTES = Counter("flotilla_shell_output_bytes_total", "Bytes of terminal output")
REFUSED = Counter(
    "flotilla_shell_input_refused_total", "Input of viewers that do not control the session"
)

# Events that an administrator may send to a session of another user.
OVERSEER_EVENTS = frozenset({"detach", "credit", "beat", "close"})


@dataclass(frozen=True, slots=True)
class Owner:
    user_id: str
    username: str


@dataclass(frozen=True, slots=True)
class Ending:
    reason: str
    exit_code: int | None = None


class TerminalSession:
    def __init__(
        self,
        connection: bus.Bus,
        *,
        pty: AgentSession,
        recording: Recording,
        signatures: SignatureChecker,
        session_id: str,
        owner: Owner,
        size: tuple[int, int],
        timing: TerminalTiming,
    ) -> None:
        self.id = session_id
        self.owner = owner
        self.ending: Ending | None = None
        self.columns, self.rows = size
        self._bus = connection
        self._pty = pty
        self._recording = recording
        self._signatures = signatures
        self._timing = timing
        self._scrollback = Scrollback()
        self.viewers = Viewers(
            connection,
            session_id,
            self._scrollback,
            self._ready,
            timeout=timing.viewer_timeout,
        )
        self._wake = asyncio.Event()
        self._subscriptions = AsyncExitStack()
        self._started_at = time.monotonic()
        self._closing: tuple[str, float] | None = None  # reason and deadline
        self._reported_stop = False  # of the recording
        self._budget = OutputBudget(self._started_at)

    @property
    def output_bytes(self) -> int:
        return self._pty.received

    async def listen(self) -> None:
        """Subscribe to the agent and to gateways, until `run` ends or `unsubscribe` is called."""
        enter = self._subscriptions.enter_async_context
        output, control = subjects.pty_output(self.id), subjects.shell_control(self.id)
        await enter(self._bus.subscribed(output, self._from_agent))
        await enter(self._bus.subscribed(self._pty.inbox, self._from_agent))
        await enter(self._bus.subscribed(control, self._from_gateway))

    async def unsubscribe(self) -> None:
        await self._subscriptions.aclose()

    def close(self, reason: str) -> None:
        """End the session soon; the first reason counts."""
        if self._closing is None:
            self._closing = (reason, time.monotonic() + CLOSE_TIMEOUT)
            self._wake.set()

    async def run(self) -> None:
        """Serve the session until it has ended and its viewers know."""
        close_sent = False
        try:
            while self.ending is None:
                self._wake.clear()
                now = time.monotonic()
                if self._closing is not None and not close_sent:
                    close_sent = True
                    with suppress(TransientError):
                        await self._pty.close(self._closing[0])
                await self._work(now)
                self.ending = self._find_ending(now)
                await self._wait(now)
            await self._finish_viewers(self.ending)
            with suppress(TransientError):
                await self._pty.close(self.ending.reason)  # the agent may forget it
        finally:
            self.viewers.clear()
            await self.unsubscribe()

    async def _work(self, now: float) -> None:
        if not self._bus.connected:
            return
        self._check_limits(now)
        with suppress(TransientError):
            await self.viewers.send_output()
            acknowledged = self._pty.acknowledged
            await self._pty.work(now, self._acknowledgeable(now))
            self._budget.spend(self._pty.acknowledged - acknowledged)
            await self._send_news()

    async def _wait(self, now: float) -> None:
        """Wait for the next message, or for the next time when the session must do something."""
        is_throttled = (
            self._pty.received > self._pty.acknowledged and self.viewers.controlling is None
        )
        delay = min(self._pty.next_at() - now, SHORT_TICK if is_throttled else TICK)
        if not self._bus.connected:
            delay = TICK
        with suppress(TimeoutError):
            async with asyncio.timeout(max(delay, MIN_TICK)):
                await self._wake.wait()

    def _check_limits(self, now: float) -> None:
        self.viewers.expire(now)
        if self._closing is not None:
            return
        timing = self._timing
        idle_limit = timing.idle_limit if self.viewers.had_any else timing.first_viewer_timeout
        if not self.viewers and now - self.viewers.last_seen_at > idle_limit:
            self.close(f"nobody was attached for {idle_limit / 60:g} min")
        elif now - self._started_at > timing.age_limit:
            self.close(f"the time limit of {timing.age_limit / 3600:g} h was reached")

    def _find_ending(self, now: float) -> Ending | None:
        """Return how the session ended. None while output may still arrive."""
        last = self._pty.exit
        if self._pty.is_over and last is not None:
            if self._closing is not None:
                return Ending(self._closing[0])
            # A negative code is the signal that ended the shell.
            ended_itself = not last.failure and last.exit_code >= 0
            return Ending(last.reason, last.exit_code if ended_itself else None)
        if self._closing is not None and now > self._closing[1]:
            return Ending(self._closing[0])
        if self._pty.given_up(now):
            return Ending("the server was offline for too long")
        return None

    def _acknowledgeable(self, now: float) -> int:
        """Return the output offset that may be acknowledged, which lets the PTY continue.

        The controlling viewer sets the pace, or the budget while there is none. Nothing is
        acknowledged while the recording waits for the database.
        """
        acknowledged, received = self._pty.acknowledged, self._pty.received
        budget = self._budget.available(now)
        if self._recording.must_wait(now):
            return acknowledged
        controlling = self.viewers.controlling
        if controlling is not None:
            return max(acknowledged, min(received, controlling.position))
        return max(acknowledged, min(received, acknowledged + budget))

    async def _finish_viewers(self, ending: Ending) -> None:
        """Send the viewers the rest of the output, then the end of the session."""
        deadline = time.monotonic() + FLUSH_TIMEOUT
        while time.monotonic() < deadline and self._bus.connected:
            self._wake.clear()
            with suppress(TransientError):
                await self.viewers.send_output()
            if not self.viewers.are_behind():
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(SHORT_TICK):
                    await self._wake.wait()
        with suppress(TransientError):
            await self.viewers.send_all(
                exit=ShellExit(exit_code=ending.exit_code, reason=ending.reason)
            )

    async def _send_news(self) -> None:
        await self.viewers.send_changes(self._pty.typed.waiting)
        if self._recording.stopped and not self._reported_stop:
            self._reported_stop = True
            await self.viewers.send_all(
                refusal=f"The recording stopped: {self._recording.stopped}."
            )

    def _ready(self, viewer: Viewer) -> ShellReady:
        return ShellReady(
            driver=viewer.is_controlling,
            recorded=not self._recording.stopped,
            columns=self.columns,
            rows=self.rows,
            resumed=viewer.has_history,
            username=self.owner.username,
        )

    async def _from_agent(self, message: Msg) -> None:
        data = self._pty.take(message)
        if data:
            BYTES.inc(len(data))
            self._scrollback.append(data, needed_from=self.viewers.needed_from())
            self._recording.add_output(data)
        self._wake.set()

    async def _from_gateway(self, message: Msg) -> None:
        answer = ShellAnswer()
        try:
            self._signatures.check(message)
            control = bus.decode(message.data, ShellControl)
        except PoisonError as error:
            log.warning("control_refused", session=self.id, error=str(error))
            answer.refusal.kind = ShellRefusal.KIND_UNAVAILABLE
            answer.refusal.reason = str(error)
            if message.reply:
                with suppress(TransientError):
                    await self._bus.publish(message.reply, answer)
            return
        with suppress(TransientError):
            try:
                await self._handle(control)
            except RefusedError as error:
                answer.refusal.CopyFrom(error.refusal())
                viewer = self.viewers.get(control.attachment_id)
                if viewer is not None and not message.reply:
                    await self.viewers.send(viewer, refusal=str(error))
            self._wake.set()
            if message.reply:
                await self._bus.publish(message.reply, answer)

    async def _handle(self, control: ShellControl) -> None:
        """Apply a control message.

        Raises: RefusedError, TransientError.
        """
        event = control.WhichOneof("event")
        viewer = self.viewers.get(control.attachment_id)
        if not self._is_allowed(control, event, viewer):
            raise RefusedError(
                ShellRefusal.KIND_FORBIDDEN, "This terminal belongs to another user."
            )
        if event == "close":
            self.close("the terminal was closed")
            return
        if event == "attach":
            await self._attach(control.attachment_id, control.user, control.attach)
            return
        if viewer is None:
            raise RefusedError(
                ShellRefusal.KIND_NOT_FOUND, "This viewer is not attached any more. Attach again."
            )
        viewer.heard_at = time.monotonic()
        match event:
            case "detach":
                self.viewers.detach(viewer)
            case "credit":
                viewer.acknowledge(control.credit.offset)
            case "beat":
                if control.beat.lost or viewer.heard_at - viewer.sent_at > REWIND_AFTER:
                    viewer.rewind(control.beat.received, self._scrollback)
            case "resize" if viewer.is_controlling:
                await self._resize(control.resize)
            case "input":
                self._type(viewer, control.input)

    def _is_allowed(self, control: ShellControl, event: str | None, viewer: Viewer | None) -> bool:
        user = control.user
        if viewer is not None and viewer.user_id != user.id:
            return False
        if user.id == self.owner.user_id:
            return True
        is_watching = event == "attach" and control.attach.observe
        return user.oversees and (is_watching or event in OVERSEER_EVENTS)

    async def _attach(self, attachment_id: str, user: ShellUser, attach: ShellAttach) -> None:
        if self.ending is not None or self._closing is not None:
            raise RefusedError(ShellRefusal.KIND_NOT_FOUND, "This terminal has just ended.")
        if self.viewers.get(attachment_id) is not None:
            return
        self.viewers.attach(
            Viewer(
                id=attachment_id,
                user_id=user.id,
                username=user.username,
                is_controlling=not attach.observe,
                has_history=self.viewers.had_any,
            )
        )
        if not attach.observe:
            with suppress(RefusedError):
                await self._resize(ShellResize(columns=attach.columns, rows=attach.rows))

    async def _resize(self, size: ShellResize) -> None:
        if not (1 <= size.columns <= MAX_COLUMNS and 1 <= size.rows <= MAX_ROWS):
            raise RefusedError(
                ShellRefusal.KIND_INVALID,
                f"A terminal has 1 to {MAX_COLUMNS} columns and 1 to {MAX_ROWS} rows.",
            )
        if (size.columns, size.rows) == (self.columns, self.rows):
            return
        self.columns, self.rows = size.columns, size.rows
        self._recording.add_resize(size.columns, size.rows)
        await self._pty.resize(size.columns, size.rows)
        await self.viewers.send_all(resize=size)

    def _type(self, viewer: Viewer, typed: ShellInput) -> None:
        if not viewer.is_controlling:
            REFUSED.inc()
            raise RefusedError(
                ShellRefusal.KIND_FORBIDDEN, "You are watching this terminal and cannot type."
            )
        known = viewer.typed.received - typed.offset
        # Input that does not fit into the window, or is out of order, is sent again.
        if known >= 0 and self._pty.typed.put(typed.data[known:]):
            viewer.typed.take(typed.offset, typed.data)
        if known > 0:
            viewer.reported_input = -1  # the viewer has missed the last report
