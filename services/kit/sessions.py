"""The owner's side of a session that an agent runs, across breaks of the agent's stream."""

import asyncio
import time

import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter

from flotilla.v1.command_pb2 import (
    CommandRequest,
    CommandResponse,
    PtyAcknowledge,
    PtyClose,
    PtyDataToAgent,
    PtyDataToServer,
    PtyExit,
    PtyOutput,
    PtyResize,
)
from services.kit import bus, subjects
from services.kit.commands import CommandError, OfflineError, Signer
from services.kit.errors import PoisonError, TransientError
from services.kit.windows import ReceiveWindow, SendWindow

log = structlog.get_logger(__name__)

WINDOW = 128 * 1024  # bytes of output that the agent may have on its way
INPUT_WINDOW = 64 * 1024  # bytes typed that the agent may have on its way
INPUT_FRAME = 16 * 1024  # bytes, each signed
START_TIMEOUT = 10.0  # seconds
# After output, acknowledgements come again after this, then twice and twice this: an agent whose
# stream broke in between is heard through its new edge only after it was spoken to.
FIRST_REPEAT = 1.0  # seconds
SIGN_OF_LIFE = 10.0  # seconds
AWAY_REPEAT = 0.5  # seconds between looks whether the agent is back
BACK = 2.0  # seconds of looks without NATS' word that nobody listens
ASK_AGAIN = 0.5  # seconds between questions for the same lost output

LOST = Counter("flotilla_shell_output_gaps_total", "Times output of a PTY was asked for again")
RESENT = Counter("flotilla_shell_input_resent_total", "Times typed input was sent again")


class AgentSession:
    """Begun with a signed command; its owner hears `pty_output` and `inbox`, and calls `take`."""

    def __init__(
        self, connection: bus.Bus, signer: Signer, *, session_id: str, vps_id: str, lease: float
    ) -> None:
        self.typed = SendWindow(capacity=2 * INPUT_WINDOW, in_flight=INPUT_WINDOW)
        self.acknowledged = 0
        self.exit: PtyExit | None = None
        self.inbox = connection.client.new_inbox()
        """Told by NATS when nobody listens."""
        self._bus = connection
        self._signer = signer
        self._session_id = session_id
        self._subject = subjects.agent_pty(vps_id)
        self._output = ReceiveWindow()
        self._answered = asyncio.Event()
        self._sign_of_life = min(SIGN_OF_LIFE, lease / 3)
        self._lease = lease
        self._repeat = FIRST_REPEAT
        self._repeat_at = time.monotonic() + FIRST_REPEAT
        self._asks = False
        self._asked_at = 0.0
        self._away_since: float | None = None
        self._away_at = 0.0
        self._size: PtyResize | None = None

    @property
    def received(self) -> int:
        return self._output.received

    @property
    def is_over(self) -> bool:
        """It ended, and all that it said is here."""
        return self.exit is not None and self.received >= self.exit.offset

    def given_up(self, now: float) -> bool:
        """Whether the agent has been away for longer than it keeps the session."""
        return self._away_since is not None and now - self._away_since > self._lease

    def next_at(self) -> float:
        """When, of the monotonic clock, `work` has something to do at the latest."""
        return min(self._repeat_at, self.typed.overdue_at())

    async def start(self, command: CommandRequest) -> None:
        """Raises: OfflineError, CommandError, TransientError."""
        await self._send(PtyDataToAgent(start=command))
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self._answered.wait()
        except TimeoutError:
            await self._send(PtyDataToAgent(close=PtyClose(reason="it began too late")))
            raise TransientError("the agent does not answer") from None
        if self._away_since is not None:
            raise OfflineError
        if self.exit is not None and not self.received and self.exit.failure:
            refused = CommandResponse.STATUS_REFUSED
            raise CommandError(
                CommandResponse(status=refused, failure=self.exit.failure, reason=self.exit.reason)
            )

    def take(self, message: Msg) -> bytes:
        """What is new of the output, if that is what came."""
        now = time.monotonic()
        self._answered.set()
        if bus.nobody_serves(message):
            self._away_at = now
            if self._away_since is None:
                self._away_since = now
                log.info("agent_away", session=self._session_id)
            self._repeat_at = now + AWAY_REPEAT
            return b""
        try:
            event = bus.decode(message.data, PtyDataToServer)
        except PoisonError:
            log.warning("pty_unreadable", session=self._session_id)
            return b""
        if event.session_id != self._session_id:
            return b""
        match event.WhichOneof("event"):
            case "output":
                return self._take_output(event.output, now)
            case "acknowledge":
                self.typed.acknowledge(event.acknowledge.offset)
            case "exit":
                self.exit = event.exit
                if not self.is_over:
                    self._ask_again(now)
        return b""

    async def work(self, now: float, allowed: int) -> None:
        """Tell the agent what is due; `allowed` is the output that it may forget.

        Raises:
            TransientError: the bus is away.
        """
        if self._away_since is not None and now - self._away_at > BACK:
            self._away_since = None
            self.typed.rewind()
            log.info("agent_back", session=self._session_id)
        if now >= self.typed.overdue_at() and self.typed.rewind():
            RESENT.inc()
        while (frame := self.typed.next(INPUT_FRAME)) is not None:
            signed = self._signer.sign_input(self._session_id, *frame)
            await self._send(PtyDataToAgent(input=signed))
        if self._asks:
            # By the offset it was told before.
            self._asks = False
            await self._acknowledge(self.acknowledged)
        repeats = now >= self._repeat_at
        if repeats or allowed - self.acknowledged >= WINDOW // 4:
            await self._acknowledge(allowed)
        if repeats:
            if self._away_since is not None:
                self._repeat_at = now + AWAY_REPEAT
                return
            self._repeat_at = now + self._repeat
            self._repeat = min(2 * self._repeat, self._sign_of_life)
            # Nobody answers a resize; saying it again costs little, and the same size is no change.
            if self._size is not None:
                await self._send(PtyDataToAgent(resize=self._size))

    async def resize(self, columns: int, rows: int) -> None:
        """Raises: TransientError."""
        self._size = PtyResize(columns=columns, rows=rows)
        await self._send(PtyDataToAgent(resize=self._size))

    async def close(self, reason: str) -> None:
        """Raises: TransientError."""
        await self._send(PtyDataToAgent(close=PtyClose(reason=reason)))

    def _take_output(self, output: PtyOutput, now: float) -> bytes:
        data = self._output.take(output.offset, output.data)
        if data is None:
            self._ask_again(now)
            return b""
        if data:
            self._repeat = min(FIRST_REPEAT, self._sign_of_life)
            self._repeat_at = min(self._repeat_at, now + self._repeat)
        return data

    def _ask_again(self, now: float) -> None:
        if now - self._asked_at > ASK_AGAIN:
            LOST.inc()
            self._asked_at = now
            self._asks = True

    async def _acknowledge(self, allowed: int) -> None:
        self.acknowledged = max(allowed, self.acknowledged)
        await self._send(PtyDataToAgent(acknowledge=PtyAcknowledge(offset=self.acknowledged)))

    async def _send(self, message: PtyDataToAgent) -> None:
        message.session_id = self._session_id
        await self._bus.publish(self._subject, message, reply=self.inbox)
