import asyncio
import collections

from flotilla.v1.agent_pb2 import MessageToServer
from flotilla.v1.command_pb2 import CommandResponse

LIMIT = 8  # messages


class Outgoing:
    """Answers on their way to the stream. Whoever answers faster than it takes them waits."""

    def __init__(self) -> None:
        # Of streams there is one at a time; 0 is none.
        self.stream = 0
        self._opened = 0
        self._answers: collections.deque[CommandResponse] = collections.deque()
        self._sending = False
        self._some = asyncio.Event()
        self._room = asyncio.Event()

    def opened(self) -> None:
        self._opened += 1
        self.stream = self._opened

    def lost(self) -> None:
        self.stream = 0
        self._sending = False
        self._answers.clear()
        self._some.clear()
        self._room.set()

    async def put(self, stream: int, answer: CommandResponse) -> None:
        """Drop it when that stream is gone: whoever asked there has to ask again."""
        while self.stream == stream and len(self._answers) >= LIMIT:
            self._room.clear()
            await self._room.wait()
        if stream and self.stream == stream:
            self._answers.append(answer)
            self._some.set()

    async def next_message(self) -> MessageToServer:
        """Whoever asks for the next has sent the one before."""
        self._sending = False
        self._room.set()
        while not self._answers:
            self._some.clear()
            await self._some.wait()
        answer = self._answers.popleft()
        self._sending = True
        self._room.set()
        return MessageToServer(command_response=answer)

    async def settled(self) -> None:
        """Wait until all has been sent."""
        while self._answers or self._sending:
            self._room.clear()
            await self._room.wait()
