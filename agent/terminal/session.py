import asyncio
import collections
import enum
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from agent.base.cancellation import cancel
from agent.commands.channel import Channel
from agent.terminal.output_window import OutputWindow
from flotilla.v1.command_pb2 import (
    PtyAcknowledge,
    PtyAction,
    PtyDataToServer,
    PtyExit,
    PtyInput,
    PtyOutput,
    PtyResize,
    PtyStarted,
)

Number = TypeVar("Number", int, float)

log = logging.getLogger(__name__)

MIN_WINDOW, MAX_WINDOW = 4 * 1024, 1024 * 1024  # bytes of unacknowledged output
MIN_LEASE, MAX_LEASE, DEFAULT_LEASE = 1.0, 600.0, 60.0  # seconds
MAX_FRAME = 16 * 1024  # bytes of output in one message
# Output after a pause is sent at once; further output is collected for this long or to one frame.
COLLECT_TIME = 0.005  # seconds
# Output that was sent more recently than this is still on its way and does not count as lost.
TRANSIT_TIME = 0.3  # seconds
EXIT_UNKNOWN = -1  # instead of an exit code
MAX_INPUT_FRAME = 64 * 1024  # bytes of input in one message
MAX_INPUT = 256 * 1024  # bytes of input that the program has not read
MAX_COLUMNS, MAX_ROWS = 1000, 500


class Notice(enum.Enum):
    """A message without output that is to be sent."""

    STARTED = enum.auto()
    ACKNOWLEDGE = enum.auto()
    EXIT = enum.auto()


class TerminalSession:
    """A terminal, container shell or followed log, and the exchange with its owner.

    The exchange survives streams: output is kept until the owner acknowledges it, and the channel
    is not read while a whole window is unacknowledged. The session ends when its owner sends
    nothing for the length of the lease.
    """

    def __init__(
        self, action: PtyAction, channel: Channel, start_digest: bytes, changed: Callable[[], None]
    ) -> None:
        """`start_digest` identifies the start command; `changed` is called with new messages."""
        self.id = action.session_id
        self.start_digest = start_digest
        self.is_log = is_log(action)
        self.exit: PtyExit | None = None
        self.exited = asyncio.Event()
        self._channel = channel
        self._changed = changed
        self._now = asyncio.get_running_loop().time
        self._lease = _clamp(action.lease_ms / 1000 or DEFAULT_LEASE, MIN_LEASE, MAX_LEASE)
        self._renewed_at = self._now()
        self._ending = asyncio.Event()
        self._discarded = asyncio.Event()
        self._reason = ""
        self._output = OutputWindow(_clamp(action.window_bytes, MIN_WINDOW, MAX_WINDOW))
        self._sent_at = 0.0
        self._output_room = asyncio.Event()
        self._input: collections.deque[bytes] = collections.deque()
        self._input_received = 0  # bytes
        self._input_written = 0  # bytes that the program has read
        self._more_input = asyncio.Event()
        self._size: tuple[int, int] = (action.columns, action.rows)
        self._resized = asyncio.Event()
        # The edge accepts messages of a session only after its owner has sent one on the stream.
        self._owner_on_stream = True
        self._notices = {Notice.STARTED, Notice.ACKNOWLEDGE}

    async def run(self) -> None:
        """Run until the program has ended and the owner knows that, or its lease expires."""
        code = await self._run_channel()
        self.exit = PtyExit(exit_code=code, reason=self._reason, offset=self._output.end)
        log.info("session %s ended: code %d %s", self.id, code, self._reason)
        self._notify(Notice.EXIT)
        self.exited.set()
        await _first(self._discarded.wait(), self._expire())

    async def _run_channel(self) -> int:
        """Copy output, input and sizes until one of these ends; return the exit code."""
        try:
            await _first(
                self._copy_output(),
                self._copy_input(),
                self._copy_size(),
                self._ending.wait(),
                self._expire(),
            )
        except Exception as error:
            log.exception("session %s failed", self.id)
            self._reason = f"the session failed: {error}"
        try:
            return await self._channel.close()
        except Exception as error:
            log.exception("session %s cannot be closed", self.id)
            self._reason = self._reason or f"the session failed: {error}"
            return EXIT_UNKNOWN

    async def _copy_output(self) -> None:
        while True:
            while (room := self._output.room) <= 0:
                self._output_room.clear()
                await self._output_room.wait()
            data = await self._channel.read(min(room, MAX_FRAME))
            if not data:
                return
            self._output.append(data)
            self._changed()
            # A channel that always has output would not let other tasks run otherwise.
            await asyncio.sleep(0)

    async def _copy_input(self) -> None:
        while True:
            while self._input:
                await self._channel.write(self._input[0])
                self._input_written += len(self._input.popleft())
                self._notify(Notice.ACKNOWLEDGE)
            self._more_input.clear()
            await self._more_input.wait()

    async def _copy_size(self) -> None:
        while True:
            await self._resized.wait()
            self._resized.clear()
            await self._channel.resize(*self._size)

    async def _expire(self) -> None:
        """Return when the lease has expired."""
        while True:
            left = self._renewed_at + self._lease - self._now()
            if left <= 0:
                break
            await asyncio.sleep(left)
        self._reason = self._reason or f"the console did not answer for {self._lease:g} s"

    def end(self, reason: str) -> None:
        """End the program; forget the session if the program has ended already."""
        if self.exit:
            self._discarded.set()
        elif not self._ending.is_set():
            self._reason = reason
            self._ending.set()

    def stream_opened(self) -> None:
        """Send everything that is not acknowledged again, once the owner is on the new stream."""
        self._owner_on_stream = False
        self._output.resend()
        self._notices |= {Notice.STARTED, Notice.ACKNOWLEDGE}
        if self.exit:
            self._notices.add(Notice.EXIT)

    def owner_seen(self) -> None:
        """Note that the owner has sent a message on the present stream."""
        if not self._owner_on_stream:
            self._owner_on_stream = True
            self._changed()

    def repeat_start(self) -> None:
        """Answer a repeated start command."""
        self.owner_seen()
        self._notify(Notice.STARTED)
        if self.exit:
            self._notify(Notice.EXIT)

    def acknowledge(self, offset: int) -> None:
        """Drop acknowledged output; resend the rest if it got lost. Renews the lease."""
        output, now = self._output, self._now()
        if offset > output.end:
            log.warning("session %s: acknowledges %d of %d bytes", self.id, offset, output.end)
            return
        self._renewed_at = now
        if offset > output.acknowledged:
            output.acknowledge(offset)
            self._output_room.set()
        elif offset == output.acknowledged < output.sent and now - self._sent_at > TRANSIT_TIME:
            # The owner repeats its acknowledgement, so the output that was sent after it got lost.
            output.resend()
            self._changed()
        if self.exit:
            self._notify(Notice.EXIT)

    def accepts(self, typed: PtyInput) -> bool:
        """Return True if this input comes next and fits; else send the offset that comes next."""
        if self.is_log or self.exit or not 0 < len(typed.data) <= MAX_INPUT_FRAME:
            return False
        room = MAX_INPUT - (self._input_received - self._input_written)
        if typed.offset == self._input_received and len(typed.data) <= room:
            return True
        self._notify(Notice.ACKNOWLEDGE)
        return False

    def add_input(self, data: bytes) -> None:
        """Add input that `accepts` allowed and whose signature is verified. Renews the lease."""
        self._renewed_at = self._now()
        self._input_received += len(data)
        self._input.append(data)
        self._more_input.set()

    def resize(self, size: PtyResize) -> None:
        if not is_valid_size(size.columns, size.rows):
            log.warning(
                "session %s: size %dx%d refused; a terminal has at most %dx%d",
                self.id,
                size.columns,
                size.rows,
                MAX_COLUMNS,
                MAX_ROWS,
            )
        elif (size.columns, size.rows) != self._size:
            self._size = size.columns, size.rows
            self._resized.set()

    def next_message(self, now: float) -> PtyDataToServer | None:
        """Return the next message that is due, in the order start, acknowledgement, output, exit."""
        if not self._owner_on_stream:
            return None
        if Notice.STARTED in self._notices:
            self._notices.discard(Notice.STARTED)
            return self._message(started=PtyStarted(program=self._channel.program))
        if Notice.ACKNOWLEDGE in self._notices:
            self._notices.discard(Notice.ACKNOWLEDGE)
            return self._message(acknowledge=PtyAcknowledge(offset=self._input_written))
        if self._output.unsent:
            return self._next_output(now) if now >= self.output_due else None
        if Notice.EXIT in self._notices:
            self._notices.discard(Notice.EXIT)
            return self._message(exit=self.exit)
        return None

    @property
    def output_due(self) -> float:
        """Time of the event loop at which unsent output is to be sent; infinite without any."""
        if not self._output.unsent or not self._owner_on_stream:
            return math.inf
        full = self._output.unsent >= MAX_FRAME
        return 0.0 if full or self.exit else self._sent_at + COLLECT_TIME

    @property
    def is_drained(self) -> bool:
        """True if nothing more can be sent on this stream."""
        return not self._owner_on_stream or not (self._output.unsent or self._notices)

    def _next_output(self, now: float) -> PtyDataToServer:
        offset = self._output.sent
        data = self._output.next_chunk(MAX_FRAME)
        self._sent_at = now
        return self._message(output=PtyOutput(offset=offset, data=data))

    def _notify(self, notice: Notice) -> None:
        self._notices.add(notice)
        self._changed()

    def _message(self, **event: Any) -> PtyDataToServer:
        return PtyDataToServer(session_id=self.id, **event)


def is_log(action: PtyAction) -> bool:
    return action.kind == PtyAction.KIND_CONTAINER_LOGS


def is_valid_size(columns: int, rows: int) -> bool:
    return 0 < columns <= MAX_COLUMNS and 0 < rows <= MAX_ROWS


def _clamp(value: Number, least: Number, most: Number) -> Number:
    return min(max(value, least), most)


async def _first(*work: Coroutine[Any, Any, Any]) -> None:
    """Run all until the first one is done, then cancel the others."""
    tasks = [asyncio.ensure_future(part) for part in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(*tasks)
    for task in done:
        task.result()
