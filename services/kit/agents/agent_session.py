"""The owner's side of an agent session, which survives interruptions of the agent's stream."""

import asyncio
import time
from collections.abc import Iterator

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
from services.kit.agents.byte_windows import ReceiveWindow, SendWindow
from services.kit.agents.commands import CommandError, OfflineError, Signer
from services.kit.backoff import backoff
from services.kit.bus import connection as bus
from services.kit.bus import subjects
from services.kit.errors import PoisonError, TransientError

log = structlog.get_logger(__name__)

WINDOW = 128 * 1024  # bytes of output that the agent may send without an acknowledgement
INPUT_WINDOW = 64 * 1024  # bytes of input in flight to the agent
INPUT_FRAME = 16 * 1024  # bytes; each frame is signed
# Seconds until an acknowledgement is repeated, doubled each time up to the keep-alive interval. If
# the agent's stream was interrupted, its new edge relays output only after it has seen a message.
FIRST_REPEAT = 1.0
KEEP_ALIVE = 10.0  # seconds
AWAY_REPEAT = 0.5  # seconds between checks whether an agent that is away is back
BACK_AFTER = 2.0  # seconds of checks without a "no responders" until the agent counts as back
RESEND_INTERVAL = 0.5  # seconds between requests to send the same lost output again

LOST = Counter(
    "flotilla_shell_output_gaps_total", "Times lost output of an agent session was requested again"
)
RESENT = Counter(
    "flotilla_shell_input_resent_total", "Times input of an agent session was sent again"
)


class AgentSession:
    """A session that is started with a signed command.

    The owner subscribes to the session's `pty_output` and to `inbox`, and passes what arrives to
    `take`. It calls `work` whenever `next_at` is reached or something has changed.
    """

    def __init__(
        self,
        connection: bus.Bus,
        signer: Signer,
        *,
        session_id: str,
        vps_id: str,
        lease: float,
        start_timeout: float = 10.0,
    ) -> None:
        """`lease` and `start_timeout` are in seconds."""
        self.typed = SendWindow(capacity=2 * INPUT_WINDOW, in_flight=INPUT_WINDOW)
        self.acknowledged = 0
        self.exit: PtyExit | None = None
        self.inbox = connection.client.new_inbox()
        """Subject on which NATS reports that nobody receives messages for this agent."""
        self._bus = connection
        self._signer = signer
        self._session_id = session_id
        self._subject = subjects.agent_pty(vps_id)
        self._output = ReceiveWindow()
        self._answered = asyncio.Event()
        self._keep_alive = min(KEEP_ALIVE, lease / 3)
        self._lease = lease
        self._start_timeout = start_timeout
        self._repeats = self._new_repeats()
        self._repeat_at = time.monotonic() + next(self._repeats)
        self._needs_resend = False
        self._resend_requested_at = 0.0
        self._away_since: float | None = None
        self._away_at = 0.0
        self._size: PtyResize | None = None

    @property
    def received(self) -> int:
        return self._output.received

    @property
    def is_over(self) -> bool:
        """The session has ended, and all its output is here."""
        return self.exit is not None and self.received >= self.exit.offset

    def given_up(self, now: float) -> bool:
        """Return True if the agent has been away for longer than it keeps the session."""
        return self._away_since is not None and now - self._away_since > self._lease

    def next_at(self) -> float:
        """Return the monotonic time at which `work` has to be called at the latest."""
        return min(self._repeat_at, self.typed.overdue_at())

    async def start(self, command: CommandRequest) -> None:
        """Send the command that starts the session, and wait for the agent's answer.

        Raises: OfflineError, CommandError, TransientError.
        """
        await self._send(PtyDataToAgent(start=command))
        try:
            async with asyncio.timeout(self._start_timeout):
                await self._answered.wait()
        except TimeoutError:
            await self._send(PtyDataToAgent(close=PtyClose(reason="the session started too late")))
            raise TransientError(
                f"The agent did not answer within {self._start_timeout:g} s."
            ) from None
        if self._away_since is not None:
            raise OfflineError
        if self.exit is not None and not self.received and self.exit.failure:
            refused = CommandResponse.STATUS_REFUSED
            raise CommandError(
                CommandResponse(status=refused, failure=self.exit.failure, reason=self.exit.reason)
            )

    def take(self, message: Msg) -> bytes:
        """Process a message; return the new output, which may be empty."""
        now = time.monotonic()
        self._answered.set()
        if bus.is_no_responders(message):
            self._away_at = now
            if self._away_since is None:
                self._away_since = now
                log.info("agent_away", session=self._session_id)
            self._repeat_at = now + AWAY_REPEAT
            return b""
        try:
            event = bus.decode(message.data, PtyDataToServer)
        except PoisonError:
            log.warning("pty_message_invalid", session=self._session_id)
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
                    self._request_resend(now)
        return b""

    async def work(self, now: float, allowed: int) -> None:
        """Send the input, acknowledgements and keep-alive messages that are due.

        `allowed` is the offset up to which output may be acknowledged. The agent then discards the
        output before it.

        Raises:
            TransientError: NATS is away.
        """
        if self._away_since is not None and now - self._away_at > BACK_AFTER:
            self._away_since = None
            self.typed.rewind()
            log.info("agent_back", session=self._session_id)
        if now >= self.typed.overdue_at() and self.typed.rewind():
            RESENT.inc()
        while (frame := self.typed.next(INPUT_FRAME)) is not None:
            signed = self._signer.sign_input(self._session_id, *frame)
            await self._send(PtyDataToAgent(input=signed))
        if self._needs_resend:
            # Repeating the same offset makes the agent send the output after it again.
            self._needs_resend = False
            await self._acknowledge(self.acknowledged)
        repeats = now >= self._repeat_at
        if repeats or allowed - self.acknowledged >= WINDOW // 4:
            await self._acknowledge(allowed)
        if repeats:
            if self._away_since is not None:
                self._repeat_at = now + AWAY_REPEAT
                return
            self._repeat_at = now + next(self._repeats)
            # A resize is not acknowledged, so it is repeated. The same size changes nothing.
            if self._size is not None:
                await self._send(PtyDataToAgent(resize=self._size))

    async def resize(self, columns: int, rows: int) -> None:
        """Set the size of the terminal.

        Raises: TransientError.
        """
        self._size = PtyResize(columns=columns, rows=rows)
        await self._send(PtyDataToAgent(resize=self._size))

    async def close(self, reason: str) -> None:
        """Ask the agent to end the session.

        Raises: TransientError.
        """
        await self._send(PtyDataToAgent(close=PtyClose(reason=reason)))

    def _take_output(self, output: PtyOutput, now: float) -> bytes:
        data = self._output.take(output.offset, output.data)
        if data is None:
            self._request_resend(now)
            return b""
        if data:
            self._repeats = self._new_repeats()
            self._repeat_at = min(self._repeat_at, now + next(self._repeats))
        return data

    def _new_repeats(self) -> Iterator[float]:
        return backoff(min(FIRST_REPEAT, self._keep_alive), self._keep_alive)

    def _request_resend(self, now: float) -> None:
        if now - self._resend_requested_at > RESEND_INTERVAL:
            LOST.inc()
            self._resend_requested_at = now
            self._needs_resend = True

    async def _acknowledge(self, allowed: int) -> None:
        self.acknowledged = max(allowed, self.acknowledged)
        await self._send(PtyDataToAgent(acknowledge=PtyAcknowledge(offset=self.acknowledged)))

    async def _send(self, message: PtyDataToAgent) -> None:
        message.session_id = self._session_id
        await self._bus.publish(self._subject, message, reply=self.inbox)
