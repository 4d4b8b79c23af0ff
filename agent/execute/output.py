import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from flotilla.v1.command_pb2 import CommandResponse

LIMIT = 1024 * 1024  # bytes
PART = 64 * 1024  # bytes
# What comes after a quiet while goes at once, then what has gathered for so long.
PAUSE = 0.05  # seconds
# Half of what the edge passes on of one answer. The pauses grow with the parts, so that a command
# that prints all the time has no more of them when its time is over.
PARTS_AT_MOST = 8_192
LONGEST = 3600.0  # seconds

Send = Callable[[CommandResponse], Awaitable[None]]


def pause(parts: int) -> float:
    """Seconds between this many parts and the next."""
    return max(PAUSE, 2 * LONGEST * parts / PARTS_AT_MOST**2)


class Output:
    """What a command prints: all of it up to a limit, and which of it is on its way."""

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
        self._room = asyncio.Event()

    def add(self, *, stdout: bytes = b"", stderr: bytes = b"") -> None:
        room = self._limit - len(self.stdout) - len(self.stderr)
        self.truncated |= len(stdout) + len(stderr) > room
        self.stdout += stdout[:room]
        self.stderr += stderr[: max(room - len(stdout), 0)]
        self._more.set()

    async def room(self) -> None:
        """Wait until so much has been sent that more may be read."""
        while self._waiting() >= PART and not self._ended.is_set():
            self._room.clear()
            await self._room.wait()

    async def stream(self) -> None:
        """Send it as it comes, until `end`; never left in the middle of a part."""
        while not self._ended.is_set():
            await self._more.wait()
            self._more.clear()
            while self._waiting() and not self._ended.is_set():
                await self.tell(self._next())
                self._room.set()
                if self._waiting() < PART:
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._ended.wait(), pause(self._parts))

    def end(self) -> None:
        self._ended.set()
        self._more.set()
        self._room.set()

    async def take(self, part: CommandResponse) -> None:
        """A part that somebody else made, of output or of progress."""
        if part.stdout or part.stderr:
            self.add(stdout=part.stdout, stderr=part.stderr)
            await self.room()
        else:
            await self.tell(part)

    async def tell(self, part: CommandResponse) -> None:
        """Send a part that is not the last."""
        part.part, self._parts = self._parts, self._parts + 1
        part.status = CommandResponse.STATUS_RUNNING
        await self._send(part)

    async def finish(self, response: CommandResponse, *, anew: bool) -> None:
        """Send what has not been sent yet, and the end; `anew` from the beginning."""
        if anew:
            self._parts, self._sent = 0, [0, 0]
        while self._waiting() > PART:
            await self.tell(self._next())
        rest = self._next()
        last = CommandResponse()
        last.CopyFrom(response)
        last.part, last.stdout, last.stderr = self._parts, rest.stdout, rest.stderr
        last.last = True
        await self._send(last)

    def restore(self, response: CommandResponse) -> None:
        """What `whole` gave."""
        self.stdout += response.stdout
        self.stderr += response.stderr

    def whole(self, response: CommandResponse) -> CommandResponse:
        whole = CommandResponse()
        whole.CopyFrom(response)
        whole.stdout, whole.stderr = bytes(self.stdout), bytes(self.stderr)
        return whole

    def _waiting(self) -> int:
        return len(self.stdout) + len(self.stderr) - sum(self._sent)

    def _next(self) -> CommandResponse:
        out, err = self._sent
        stdout = bytes(self.stdout[out : out + PART])
        stderr = bytes(self.stderr[err : err + PART - len(stdout)])
        self._sent = [out + len(stdout), err + len(stderr)]
        return CommandResponse(stdout=stdout, stderr=stderr)
