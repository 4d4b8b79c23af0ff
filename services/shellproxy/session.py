"""One terminal: a PTY at an agent, and the screens that show it."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

import structlog
from google.protobuf.message import Message
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge

from flotilla.v1.shell_pb2 import (
    ShellAnswer,
    ShellAttach,
    ShellControl,
    ShellData,
    ShellExit,
    ShellInput,
    ShellOutput,
    ShellReady,
    ShellRefusal,
    ShellResize,
    ShellUser,
    ShellViewers,
)
from services.kit import bus, subjects
from services.kit.errors import PoisonError, TransientError
from services.kit.seals import Seals
from services.kit.sessions import AgentSession
from services.shellproxy.attachment import WINDOW, Attachment
from services.shellproxy.errors import RefusedError
from services.shellproxy.recording import Recording
from services.shellproxy.scrollback import Scrollback

log = structlog.get_logger(__name__)

MAX_COLUMNS, MAX_ROWS = 1000, 500
MAX_SCREENS = 16
UNATTENDED = 60.0  # seconds for the first screen to come
IDLE_LIMIT = 30 * 60.0  # seconds without anybody attached
AGE_LIMIT = 12 * 3600.0  # seconds
SCREEN_SILENCE = 30.0  # seconds without a word from a screen's gateway
PACE = 256 * 1024  # bytes per second that nobody takes
TICK = 1.0  # seconds
PACED_TICK = 0.1  # seconds
LEAST_TICK = 0.001  # seconds
CLOSE_PATIENCE = 3.0  # seconds for the agent to end it
LAST_WORDS = 5.0  # seconds for screens to take what they have not seen yet
REWIND_AFTER = 2.0  # seconds after which what a screen has not got counts as lost

SCREENS = Gauge("flotilla_shell_screens", "Screens attached to terminals")
BYTES = Counter("flotilla_shell_output_bytes_total", "Output of terminals")
STARTED_OVER = Counter(
    "flotilla_shell_resyncs_total", "Times a screen that fell behind started over"
)
REFUSED = Counter("flotilla_shell_input_refused_total", "Typed input that was not taken")

# What an administrator may do in a session of somebody else.
OVERSEEING = frozenset({"detach", "credit", "beat", "close"})


@dataclass(frozen=True, slots=True)
class Owner:
    user_id: str
    username: str


@dataclass(frozen=True, slots=True)
class Ending:
    reason: str
    exit_code: int | None = None


class Session:
    def __init__(
        self,
        connection: bus.Bus,
        pty: AgentSession,
        recording: Recording,
        seals: Seals,
        *,
        session_id: str,
        owner: Owner,
        size: tuple[int, int],
    ) -> None:
        self.id = session_id
        self.owner = owner
        self.ending: Ending | None = None
        self.screens: dict[str, Attachment] = {}
        self.columns, self.rows = size
        self._bus = connection
        self._pty = pty
        self._recording = recording
        self._seals = seals
        self._scrollback = Scrollback()
        self._wake = asyncio.Event()
        self._subscriptions = AsyncExitStack()
        self._began = time.monotonic()
        self._left_at = self._began
        self._closing: tuple[str, float] | None = None
        self._paced_at = self._began
        self._budget = 0.0
        self._told_stopped = False
        self._attended = False
        self._viewers_changed = False

    @property
    def output_bytes(self) -> int:
        return self._pty.received

    async def listen(self) -> None:
        """To the agent and to gateways, until `run` has ended or `silence` is called."""
        listens = self._subscriptions.enter_async_context
        output, control = subjects.pty_output(self.id), subjects.shell_control(self.id)
        await listens(self._bus.subscribed(output, self._from_agent))
        await listens(self._bus.subscribed(self._pty.inbox, self._from_agent))
        await listens(self._bus.subscribed(control, self._from_gateway))

    async def silence(self) -> None:
        await self._subscriptions.aclose()

    def close(self, reason: str) -> None:
        if self._closing is None:
            self._closing = (reason, time.monotonic() + CLOSE_PATIENCE)
            self._wake.set()

    async def run(self) -> None:
        """Until it has ended and everybody was told."""
        closed = False
        try:
            while self.ending is None:
                self._wake.clear()
                now = time.monotonic()
                if self._closing is not None and not closed:
                    closed = True
                    with suppress(TransientError):
                        await self._pty.close(self._closing[0])
                await self._turn(now)
                self.ending = self._ended(now)
                await self._pause(now)
            await self._say_last_words(self.ending)
            with suppress(TransientError):
                await self._pty.close(self.ending.reason)  # the agent may forget it
        finally:
            SCREENS.dec(len(self.screens))
            self.screens.clear()
            await self.silence()

    async def _turn(self, now: float) -> None:
        if not self._bus.connected:
            return
        self._tidy(now)
        with suppress(TransientError):
            await self._pump()
            received = self._pty.acknowledged
            await self._pty.work(now, self._allowed(now))
            self._budget = max(self._budget - (self._pty.acknowledged - received), 0.0)
            await self._tell_news()

    async def _pause(self, now: float) -> None:
        held = self._pty.received > self._pty.acknowledged and self._driver() is None
        until = min(self._pty.next_at() - now, PACED_TICK if held else TICK)
        if not self._bus.connected:
            until = TICK
        with suppress(TimeoutError):
            async with asyncio.timeout(max(until, LEAST_TICK)):
                await self._wake.wait()

    def _tidy(self, now: float) -> None:
        for screen in list(self.screens.values()):
            if now - screen.heard_at > SCREEN_SILENCE:
                self._detach(screen)
        if self._closing is not None:
            return
        idle_limit = IDLE_LIMIT if self._attended else UNATTENDED
        if not self.screens and now - self._left_at > idle_limit:
            self.close(f"nobody was there for {idle_limit / 60:g} min")
        elif now - self._began > AGE_LIMIT:
            self.close(f"it is {AGE_LIMIT / 3600:g} h old, and ends then")

    def _ended(self, now: float) -> Ending | None:
        """What ended it, when all that it said is here or will not come."""
        said = self._pty.exit
        if self._pty.is_over and said is not None:
            reason = said.reason if self._closing is None else self._closing[0]
            return Ending(reason, None if said.failure else said.exit_code)
        if self._closing is not None and now > self._closing[1]:
            return Ending(self._closing[0])
        if self._pty.given_up(now):
            return Ending("the server was away for too long")
        return None

    def _driver(self) -> Attachment | None:
        return next((screen for screen in self.screens.values() if screen.driver), None)

    def _allowed(self, now: float) -> int:
        """Output that the agent may forget, which lets the PTY go on."""
        acknowledged, received = self._pty.acknowledged, self._pty.received
        self._budget = min(self._budget + PACE * (now - self._paced_at), PACE)
        self._paced_at = now
        if self._recording.holds_up(now):
            return acknowledged
        driver = self._driver()
        if driver is not None:
            return max(acknowledged, min(received, driver.position))
        return max(acknowledged, min(received, acknowledged + int(self._budget)))

    async def _pump(self) -> None:
        for screen in list(self.screens.values()):
            if screen.position < self._scrollback.start and not screen.due:
                STARTED_OVER.inc()
                screen.due = True
            # Not before it has taken most of what it was sent: it would fall behind again.
            if screen.due and screen.room >= WINDOW // 2:
                await self._greet(screen)
            while not screen.due and (frame := screen.next(self._scrollback)) is not None:
                offset, data = frame
                await self._tell(screen, data=ShellData(offset=offset, data=data))

    async def _greet(self, screen: Attachment) -> None:
        screen.start_over(self._scrollback)
        resumed, screen.resumed = screen.resumed, True
        await self._tell(
            screen,
            ready=ShellReady(
                driver=screen.driver,
                recorded=not self._recording.stopped,
                columns=self.columns,
                rows=self.rows,
                resumed=resumed,
                username=self.owner.username,
            ),
        )

    async def _say_last_words(self, ending: Ending) -> None:
        """What screens have not seen yet, then that it is over."""
        until = time.monotonic() + LAST_WORDS
        while time.monotonic() < until and self._bus.connected:
            self._wake.clear()
            with suppress(TransientError):
                await self._pump()
            if not any(screen.behind(self._scrollback) for screen in self.screens.values()):
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(PACED_TICK):
                    await self._wake.wait()
        with suppress(TransientError):
            await self._tell_all(exit=ShellExit(exit_code=ending.exit_code, reason=ending.reason))

    async def _tell(self, screen: Attachment, **event: Message | str | int) -> None:
        message = ShellOutput(attachment_id=screen.id, **event)  # type: ignore[arg-type]
        await self._bus.publish(subjects.shell_output(self.id), message)

    async def _tell_all(self, **event: Message | str | int) -> None:
        for screen in list(self.screens.values()):
            await self._tell(screen, **event)

    async def _tell_news(self) -> None:
        for screen in list(self.screens.values()):
            taken = screen.taken(self._pty.typed.waiting)
            if taken > screen.told_taken:
                screen.told_taken = taken
                await self._tell(screen, taken=taken)
        if self._viewers_changed:
            self._viewers_changed = False
            viewers = [
                ShellViewers.Viewer(username=screen.username, driver=screen.driver)
                for screen in self.screens.values()
            ]
            await self._tell_all(viewers=ShellViewers(viewers=viewers))
        if self._recording.stopped and not self._told_stopped:
            self._told_stopped = True
            await self._tell_all(refusal=f"recording stopped: {self._recording.stopped}")

    async def _from_agent(self, message: Msg) -> None:
        data = self._pty.take(message)
        if data:
            BYTES.inc(len(data))
            driver = self._driver()
            needed_from = None if driver is None or driver.due else driver.position
            self._scrollback.append(data, needed_from=needed_from)
            self._recording.output(data)
        self._wake.set()

    async def _from_gateway(self, message: Msg) -> None:
        answer = ShellAnswer()
        try:
            self._seals.check(message)
            control = bus.decode(message.data, ShellControl)
        except PoisonError as error:
            log.warning("control_refused", session=self.id, error=str(error))
            answer.refusal.kind, answer.refusal.reason = ShellRefusal.KIND_UNAVAILABLE, f"{error}."
            if message.reply:
                with suppress(TransientError):
                    await self._bus.publish(message.reply, answer)
            return
        with suppress(TransientError):
            try:
                await self._obey(control)
            except RefusedError as error:
                answer.refusal.CopyFrom(error.refusal())
                screen = self.screens.get(control.attachment_id)
                if screen is not None and not message.reply:
                    await self._tell(screen, refusal=str(error))
            self._wake.set()
            if message.reply:
                await self._bus.publish(message.reply, answer)

    async def _obey(self, control: ShellControl) -> None:
        """Raises: RefusedError, TransientError."""
        event = control.WhichOneof("event")
        screen = self.screens.get(control.attachment_id)
        if not self._may(control.user, event, control, screen):
            raise RefusedError(ShellRefusal.KIND_FORBIDDEN, "This terminal is somebody else's.")
        if event == "close":
            self.close("it was closed")
            return
        if event == "attach":
            await self._attach(control.attachment_id, control.user, control.attach)
            return
        if screen is None:
            raise RefusedError(ShellRefusal.KIND_NOT_FOUND, "This screen is not attached any more.")
        screen.heard_at = time.monotonic()
        match event:
            case "detach":
                self._detach(screen)
            case "credit":
                screen.credit(control.credit.offset)
            case "beat":
                if control.beat.lost or screen.heard_at - screen.sent_at > REWIND_AFTER:
                    screen.rewind(control.beat.received, self._scrollback)
            case "resize" if screen.driver:
                await self._resize(control.resize)
            case "input":
                self._type(screen, control.input)

    def _may(
        self, user: ShellUser, event: str | None, control: ShellControl, screen: Attachment | None
    ) -> bool:
        if screen is not None and screen.user_id != user.id:
            return False
        if user.id == self.owner.user_id:
            return True
        watches = event == "attach" and control.attach.observe
        return user.oversees and (watches or event in OVERSEEING)

    async def _attach(self, attachment_id: str, user: ShellUser, attach: ShellAttach) -> None:
        if self.ending is not None or self._closing is not None:
            raise RefusedError(ShellRefusal.KIND_NOT_FOUND, "It has just ended.")
        if attachment_id in self.screens:
            return
        if len(self.screens) >= MAX_SCREENS:
            raise RefusedError(ShellRefusal.KIND_BUSY, f"{MAX_SCREENS} screens show it already.")
        former = self._driver()
        if not attach.observe and former is not None:
            # It is told by starting over as an observer.
            former.driver, former.due = False, True
        self.screens[attachment_id] = Attachment(
            *(attachment_id, user.id, user.username),
            driver=not attach.observe,
            resumed=self._attended,
        )
        SCREENS.inc()
        self._attended = self._viewers_changed = True
        if not attach.observe:
            with suppress(RefusedError):
                await self._resize(ShellResize(columns=attach.columns, rows=attach.rows))

    def _detach(self, screen: Attachment) -> None:
        del self.screens[screen.id]
        SCREENS.dec()
        self._left_at = time.monotonic()
        self._viewers_changed = True

    async def _resize(self, size: ShellResize) -> None:
        if not (1 <= size.columns <= MAX_COLUMNS and 1 <= size.rows <= MAX_ROWS):
            raise RefusedError(
                ShellRefusal.KIND_INVALID,
                f"A terminal has 1 to {MAX_COLUMNS} columns and 1 to {MAX_ROWS} rows.",
            )
        if (size.columns, size.rows) == (self.columns, self.rows):
            return
        self.columns, self.rows = size.columns, size.rows
        self._recording.resize(size.columns, size.rows)
        await self._pty.resize(size.columns, size.rows)
        await self._tell_all(resize=size)

    def _type(self, screen: Attachment, typed: ShellInput) -> None:
        if not screen.driver:
            REFUSED.inc()
            raise RefusedError(ShellRefusal.KIND_FORBIDDEN, "Who watches cannot type.")
        known = screen.typed.received - typed.offset
        # What is not taken, or came out of order, is sent again.
        if known >= 0 and self._pty.typed.put(typed.data[known:]):
            screen.typed.take(typed.offset, typed.data)
        if known > 0:
            screen.told_taken = -1  # it has not heard
