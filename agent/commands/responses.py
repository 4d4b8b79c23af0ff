import asyncio
import collections

from flotilla.v1.agent_pb2 import MessageToServer
from flotilla.v1.command_pb2 import CommandResponse

LIMIT = 8  # messages


class ResponseQueue:
    """Command responses that wait for the stream. A full queue makes the commands wait."""

    def __init__(self) -> None:
        # Number of the open stream; 0 while there is none.
        self.stream = 0
        self._streams = 0
        self._waiting: collections.deque[CommandResponse] = collections.deque()
        self._sending = False
        self._not_empty = asyncio.Event()
        self._progress = asyncio.Event()

    def stream_opened(self) -> None:
        self._streams += 1
        self.stream = self._streams

    def stream_lost(self) -> None:
        self.stream = 0
        self._sending = False
        self._waiting.clear()
        self._not_empty.clear()
        self._progress.set()

    async def put(self, stream: int, response: CommandResponse) -> None:
        """Wait for room and add a response; drop it if the stream it is for is gone.

        The server repeats the command on the next stream when it needs the response.
        """
        while self.stream == stream and len(self._waiting) >= LIMIT:
            self._progress.clear()
            await self._progress.wait()
        if stream and self.stream == stream:
            self._waiting.append(response)
            self._not_empty.set()

    async def next_message(self) -> MessageToServer:
        """Wait for the next message. Calling this means that the last one was sent."""
        self._sending = False
        self._progress.set()
        while not self._waiting:
            self._not_empty.clear()
            await self._not_empty.wait()
        response = self._waiting.popleft()
        self._sending = True
        self._progress.set()
        return MessageToServer(command_response=response)

    async def drain(self) -> None:
        """Wait until all responses are sent."""
        while self._waiting or self._sending:
            self._progress.clear()
            await self._progress.wait()
