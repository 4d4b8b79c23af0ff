import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from flotilla.v1.command_pb2 import CommandResponse

LIMIT = 1024 * 1024  # bytes
PART = 64 * 1024  # bytes
# Output after a pause is sent at once; further output is collected for this long.
MIN_PAUSE = 0.05  # seconds
# Half of the parts that the edge forwards for one response. The pauses grow with the number of
# parts, so that a command that prints all the time does not use them up before its timeout.
MAX_PARTS = 8_192
MAX_DURATION = 3600.0  # seconds

Send = Callable[[CommandResponse], Awaitable[None]]


def pause_after(parts: int) -> float:
    """Return the seconds between this many parts and the next one."""
    return max(MIN_PAUSE, 2 * MAX_DURATION * parts / MAX_PARTS**2)


class Output:
    """Output of one command: keeps it up to a limit and sends it in parts."""

    def __init__(self, limit: int, send: Send) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.truncated = False
        self._limit = min(limit or LIMIT, LIMIT)
        self._send = send
        self._parts = 0
        self._sent = [0, 0]  # bytes of stdout and stderr
        self._ended = asyncio.Event()
        self._more = asyncio.Event()
        self._progress = asyncio.Event()

    def add(self, *, stdout: bytes = b"", stderr: bytes = b"") -> None:
        room = self._limit - len(self.stdout) - len(self.stderr)
        self.truncated |= len(stdout) + len(stderr) > room
        self.stdout += stdout[:room]
        self.stderr += stderr[: max(room - len(stdout), 0)]
        self._more.set()

    async def wait_for_room(self) -> None:
        """Wait until less than one part of the output is unsent."""
        while self._unsent() >= PART and not self._ended.is_set():
            self._progress.clear()
            await self._progress.wait()

    async def stream(self) -> None:
        """Send parts as output arrives, until `end` is called; never stop within a part."""
        while not self._ended.is_set():
            await self._more.wait()
            self._more.clear()
            while self._unsent() and not self._ended.is_set():
                await self.send_part(self._next_part())
                self._progress.set()
                if self._unsent() < PART:
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._ended.wait(), pause_after(self._parts))

    def end(self) -> None:
        self._ended.set()
        self._more.set()
        self._progress.set()

    async def forward(self, part: CommandResponse) -> None:
        """Add the output of a part that a handler made, or send its progress."""
        if part.stdout or part.stderr:
            self.add(stdout=part.stdout, stderr=part.stderr)
            await self.wait_for_room()
        else:
            await self.send_part(part)

    async def send_part(self, part: CommandResponse) -> None:
        """Send a part that is not the last one."""
        part.part, self._parts = self._parts, self._parts + 1
        part.status = CommandResponse.STATUS_RUNNING
        await self._send(part)

    async def finish(self, response: CommandResponse, *, from_start: bool) -> None:
        """Send the unsent output, or all of it with `from_start`, and the response."""
        if from_start:
            self._parts, self._sent = 0, [0, 0]
        while self._unsent() > PART:
            await self.send_part(self._next_part())
        rest = self._next_part()
        last = CommandResponse()
        last.CopyFrom(response)
        last.part, last.stdout, last.stderr = self._parts, rest.stdout, rest.stderr
        last.last = True
        await self._send(last)

    def restore(self, response: CommandResponse) -> None:
        """Add the output of a response that `with_output` returned."""
        self.stdout += response.stdout
        self.stderr += response.stderr

    def with_output(self, response: CommandResponse) -> CommandResponse:
        """Return a copy of the response with all output in it."""
        complete = CommandResponse()
        complete.CopyFrom(response)
        complete.stdout, complete.stderr = bytes(self.stdout), bytes(self.stderr)
        return complete

    def _unsent(self) -> int:
        return len(self.stdout) + len(self.stderr) - sum(self._sent)

    def _next_part(self) -> CommandResponse:
        out, err = self._sent
        stdout = bytes(self.stdout[out : out + PART])
        stderr = bytes(self.stderr[err : err + PART - len(stdout)])
        self._sent = [out + len(stdout), err + len(stderr)]
        return CommandResponse(stdout=stdout, stderr=stderr)
