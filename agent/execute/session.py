import asyncio
import collections
import logging
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any

from agent.execute.channel import Channel
from agent.tasks import cancel
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

log = logging.getLogger(__name__)

WINDOW_MIN, WINDOW_MAX = 4 * 1024, 1024 * 1024  # bytes of output not acknowledged
LEASE_MIN, LEASE_MAX, LEASE_DEFAULT = 1.0, 600.0, 60.0  # seconds
FRAME = 16 * 1024  # bytes of output
# After a quiet while output goes at once; more of it gathers for so long, or to a frame.
GATHER = 0.005  # seconds
# What was sent in the last moments is on its way, and not yet to be called lost.
ON_ITS_WAY = 0.3  # seconds
LOST = -1  # instead of an exit code
INPUT_FRAME = 64 * 1024  # bytes
INPUT_LIMIT = 256 * 1024  # bytes typed and not yet taken by the program
COLUMNS, ROWS = 1000, 500


class Session:
    """A channel and its owner at the other end of streams that come and go.

    Output is kept until it is acknowledged, and the channel is not read while too much is.
    Without a word of its owner for the length of its lease, all of it ends.
    """

    def __init__(
        self, action: PtyAction, channel: Channel, begun_by: bytes, changed: Callable[[], None]
    ) -> None:
        self.id = action.session_id
        self.begun_by = begun_by
        self.exit: PtyExit | None = None
        self._channel = channel
        self._changed = changed
        self.is_log = is_log(action)
        self._window = min(max(action.window_bytes, WINDOW_MIN), WINDOW_MAX)
        seconds = action.lease_ms / 1000 or LEASE_DEFAULT
        self._lease = min(max(seconds, LEASE_MIN), LEASE_MAX)
        self._heard_at = time.monotonic()
        self.over = asyncio.Event()
        self._ending = asyncio.Event()
        self._dismissed = asyncio.Event()
        self._reason = ""
        # Offsets from the session's beginning: acknowledged <= sent <= read.
        self._output = bytearray()
        self._acknowledged = 0
        self._sent = 0
        self._sent_at = 0.0
        self._room = asyncio.Event()
        self._typed = 0
        self._taken = 0  # by the channel, of what was typed
        self._input: collections.deque[bytes] = collections.deque()
        self._more_input = asyncio.Event()
        self._size: tuple[int, int] = (action.columns, action.rows)
        self._resized = asyncio.Event()
        # Until its owner speaks on a stream, the edge does not take anything of it there.
        self._heard_here = True
        self._to_tell = {"started", "acknowledge"}

    async def run(self) -> None:
        """Until it is over, and its owner knows or is silent."""
        code = await self._live()
        self.exit = PtyExit(
            exit_code=code, reason=self._reason, offset=self._acknowledged + len(self._output)
        )
        log.info("session %s is over: code %d %s", self.id, code, self._reason)
        self._tell("exit")
        self.over.set()
        await _first(self._dismissed.wait(), self._expire())

    async def _live(self) -> int:
        try:
            await _first(
                *(self._read(), self._ending.wait(), self._expire()),
                *(self._write(), self._resize()),
            )
        except Exception as error:
            log.exception("session %s broke", self.id)
            self._reason = f"it broke: {error}"
        try:
            return await self._channel.close()
        except Exception as error:
            log.exception("session %s cannot be closed", self.id)
            self._reason = self._reason or f"it broke: {error}"
            return LOST

    async def _read(self) -> None:
        while True:
            while (room := self._window - len(self._output)) <= 0:
                self._room.clear()
                await self._room.wait()
            data = await self._channel.read(min(room, FRAME))
            if not data:
                return
            self._output += data
            self._changed()
            # A channel that is never empty leaves the others no turn otherwise.
            await asyncio.sleep(0)

    async def _write(self) -> None:
        while True:
            while self._input:
                await self._channel.write(self._input[0])
                self._taken += len(self._input.popleft())
                self._tell("acknowledge")
            self._more_input.clear()
            await self._more_input.wait()

    async def _resize(self) -> None:
        while True:
            await self._resized.wait()
            self._resized.clear()
            await self._channel.resize(*self._size)

    async def _expire(self) -> None:
        while True:
            left = self._heard_at + self._lease - time.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(left)
        self._reason = self._reason or f"nobody asked for it for {self._lease:g} s"

    def end(self, reason: str) -> None:
        if self.exit:
            self._dismissed.set()
        elif not self._ending.is_set():
            self._reason = reason
            self._ending.set()

    def moved(self) -> None:
        """There is a new stream, on which nothing of this session was said yet."""
        self._heard_here = False
        self._sent = self._acknowledged
        self._to_tell |= {"started", "acknowledge"} | ({"exit"} if self.exit else set())

    def hear(self) -> None:
        """A word of its owner on the present stream."""
        if not self._heard_here:
            self._heard_here = True
            self._changed()

    def begin_again(self) -> None:
        """What began it has come once more."""
        self.hear()
        self._tell("started")
        if self.exit:
            self._tell("exit")

    def acknowledge(self, offset: int) -> None:
        now = time.monotonic()
        if offset > self._acknowledged + len(self._output):
            log.warning("session %s: acknowledges what there was not", self.id)
            return
        self._heard_at = now
        if offset > self._acknowledged:
            del self._output[: offset - self._acknowledged]
            self._acknowledged = offset
            self._sent = max(self._sent, offset)
            self._room.set()
        elif offset == self._acknowledged < self._sent and now - self._sent_at > ON_ITS_WAY:
            # Told the same again: what was sent after it got lost on the way.
            self._sent = offset
            self._changed()
        if self.exit:
            self._tell("exit")

    def expects(self, typed: PtyInput) -> bool:
        """Whether it comes next; what does not is answered with what does."""
        if self.is_log or self.exit or not 0 < len(typed.data) <= INPUT_FRAME:
            return False
        room = INPUT_LIMIT - (self._typed - self._taken)
        if typed.offset == self._typed and len(typed.data) <= room:
            return True
        self._tell("acknowledge")
        return False

    def type(self, data: bytes) -> None:
        """What `expects` was true of, and is signed."""
        self._heard_at = time.monotonic()
        self._typed += len(data)
        self._input.append(data)
        self._more_input.set()

    def resize(self, size: PtyResize) -> None:
        if not fits(size.columns, size.rows):
            log.warning("session %s: no terminal has %dx%d", self.id, size.columns, size.rows)
        elif (size.columns, size.rows) != self._size:
            self._size = size.columns, size.rows
            self._resized.set()

    def next(self, now: float) -> PtyDataToServer | None:
        """What is to be sent now."""
        if not self._heard_here:
            return None
        if "started" in self._to_tell:
            self._to_tell.discard("started")
            return self._message(started=PtyStarted(program=self._channel.program))
        if "acknowledge" in self._to_tell:
            self._to_tell.discard("acknowledge")
            return self._message(acknowledge=PtyAcknowledge(offset=self._taken))
        if self._waiting:
            return self._next_output(now) if now >= self.due else None
        if "exit" in self._to_tell:
            self._to_tell.discard("exit")
            return self._message(exit=self.exit)
        return None

    @property
    def due(self) -> float:
        """When, of the monotonic clock, output that waits is to be sent; infinite without any."""
        if not self._waiting or not self._heard_here:
            return math.inf
        return 0.0 if self._waiting >= FRAME or self.exit else self._sent_at + GATHER

    @property
    def settled(self) -> bool:
        return not self._heard_here or not (self._waiting or self._to_tell)

    @property
    def _waiting(self) -> int:
        return self._acknowledged + len(self._output) - self._sent

    def _next_output(self, now: float) -> PtyDataToServer:
        begin = self._sent - self._acknowledged
        data = bytes(self._output[begin : begin + FRAME])
        output = PtyOutput(offset=self._sent, data=data)
        self._sent += len(data)
        self._sent_at = now
        return self._message(output=output)

    def _tell(self, what: str) -> None:
        self._to_tell.add(what)
        self._changed()

    def _message(self, **event: Any) -> PtyDataToServer:
        return PtyDataToServer(session_id=self.id, **event)


def is_log(action: PtyAction) -> bool:
    return action.kind == PtyAction.KIND_CONTAINER_LOGS


def fits(columns: int, rows: int) -> bool:
    return 0 < columns <= COLUMNS and 0 < rows <= ROWS


async def _first(*work: Coroutine[Any, Any, Any]) -> None:
    """Until one is done; the others end with it."""
    tasks = [asyncio.ensure_future(part) for part in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(*tasks)
    for task in done:
        task.result()
