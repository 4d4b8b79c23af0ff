"""An agent's hands, and the stream that carries what they say, cut and mended at will."""

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from agent.execute.hands import Hands
from agent.execute.policy import Policy
from agent.execute.trust import Trust
from agent.identity import Identity, StateFolder
from agent.tasks import cancel
from flotilla.v1.agent_pb2 import Powers
from flotilla.v1.command_pb2 import (
    Command,
    CommandRequest,
    CommandResponse,
    PtyAcknowledge,
    PtyClose,
    PtyDataToAgent,
    PtyDataToServer,
    PtyResize,
)
from tests.unit.agent import console
from tests.unit.agent.console import CONSOLE, Typist
from tests.unit.agent.edge import VPS_ID, soon

ALL = Policy(
    shell=True,
    commands=True,
    files=Powers.FILE_ACCESS_WRITE,
    file_roots=(Path("/"),),
    docker=Powers.DOCKER_ACCESS_ACTIONS,
)


class Obeying:
    def __init__(self, path: Path, policy: Policy = ALL) -> None:
        self.state = StateFolder(path)
        if not self.state.enrolled():
            keys = (bytes(CONSOLE.verify_key),)
            self.state.keep_identity(Identity(VPS_ID, "edge", "PEM", SigningKey.generate(), keys))
        self.trust = Trust(VPS_ID, self.state.identity().command_keys)
        self.hands = Hands(
            self.state,
            policy,
            self.trust,
            docker_socket=lambda: path / "docker.sock",
            docker_changed=lambda: None,
        )
        self.answers: asyncio.Queue[CommandResponse] = asyncio.Queue()
        self.frames: asyncio.Queue[PtyDataToServer] = asyncio.Queue()
        self._carrying: list[asyncio.Future[None]] = []
        self._parts: dict[str, list[CommandResponse]] = {}
        self._whole: list[CommandResponse] = []

    def connect(self) -> None:
        self.hands.opened()
        self._carrying = [
            asyncio.ensure_future(self._carry_answers()),
            asyncio.ensure_future(self._carry_frames()),
        ]

    async def cut(self) -> None:
        """What was under way on the stream is gone."""
        self.hands.lost()
        await cancel(*self._carrying)
        self.answers, self.frames = asyncio.Queue(), asyncio.Queue()
        self._parts = {}

    async def _carry_answers(self) -> None:
        while True:
            message = await self.hands.outgoing.next_message()
            self.answers.put_nowait(message.command_response)

    async def _carry_frames(self) -> None:
        while True:
            self.frames.put_nowait((await self.hands.next_of_sessions()).pty_data)

    def give(self, order: Command | CommandRequest) -> None:
        request = order if isinstance(order, CommandRequest) else console.signed(order)
        self.hands.command(request)

    async def answer(self, name: str = "") -> CommandResponse:
        """The next answer, or that to a certain command, put together from its parts."""
        while True:
            for whole in self._whole:
                if not name or whole.command_id == name:
                    self._whole.remove(whole)
                    return whole
            part = await soon(self.answers.get())
            parts = self._parts.setdefault(part.command_id, [])
            assert part.part == len(parts)
            parts.append(part)
            if part.last:
                self._whole.append(joined(self._parts.pop(part.command_id)))

    async def obey(self, order: Command | CommandRequest) -> CommandResponse:
        self.give(order)
        return await self.answer("" if isinstance(order, CommandRequest) else order.id)

    async def run(self, script: str, **changes: Any) -> CommandResponse:
        return await self.obey(console.script(script, **changes))

    def say(self, session: str, **event: Any) -> None:
        """The owner of a session says something."""
        self.hands.session(PtyDataToAgent(session_id=session, **event))

    async def close(self) -> None:
        await soon(self.hands.close())
        await self.cut()


def joined(parts: list[CommandResponse]) -> CommandResponse:
    whole = CommandResponse()
    whole.CopyFrom(parts[-1])
    whole.part = 0
    whole.stdout = b"".join(part.stdout for part in parts)
    whole.stderr = b"".join(part.stderr for part in parts)
    return whole


@dataclasses.dataclass
class Shown:
    """The owner's side of a session: what was shown, without a hole."""

    agent: Obeying
    name: str
    output: bytes = b""
    twice: int = 0  # bytes that came more than once
    taken: int = 0  # bytes typed that the agent acknowledged
    exit: Any = None
    typist: Typist = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.typist = Typist(self.name)

    async def hear(self) -> str:
        """The next of its frames, of whatever kind."""
        while True:
            frame = await soon(self.agent.frames.get())
            if frame.session_id == self.name:
                break
        kind = frame.WhichOneof("event")
        if kind == "output":
            assert frame.output.offset <= len(self.output), "a hole"
            known = len(self.output) - frame.output.offset
            assert self.output[frame.output.offset :].startswith(frame.output.data[:known])
            self.twice += min(known, len(frame.output.data))
            self.output += frame.output.data[known:]
        elif kind == "acknowledge":
            self.taken = frame.acknowledge.offset
        elif kind == "exit":
            self.exit = frame.exit
        return str(kind)

    async def until(self, text: bytes) -> None:
        while text not in self.output:
            await self.hear()

    async def ended(self) -> Any:
        while self.exit is None:
            await self.hear()
        return self.exit

    def types(self, text: bytes) -> None:
        self.agent.hands.session(self.typist.types(text))

    def acknowledges(self, offset: int | None = None) -> None:
        place = len(self.output) if offset is None else offset
        self.agent.say(self.name, acknowledge=PtyAcknowledge(offset=place))

    def resizes(self, columns: int, rows: int) -> None:
        self.agent.say(self.name, resize=PtyResize(columns=columns, rows=rows))

    def closes(self) -> None:
        self.agent.say(self.name, close=PtyClose(reason="closed"))


@contextlib.asynccontextmanager
async def obeying(path: Path, policy: Policy = ALL) -> AsyncIterator[Obeying]:
    agent = Obeying(path, policy)
    await agent.hands.start()
    agent.connect()
    try:
        yield agent
    finally:
        await agent.close()


async def opened(agent: Obeying, name: str = "s-1", **changes: Any) -> Shown:
    """A terminal whose shell waits for input."""
    agent.hands.session(console.start(name, **changes))
    shown = Shown(agent, name)
    assert await shown.hear() == "started"
    shown.types(b"PS1=; export PS1; echo rea''dy\n")
    await shown.until(b"ready\r\n")
    return shown


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state != b"Z"


async def gone(*pids: int) -> None:
    async def wait() -> None:
        while any(map(lives, pids)):  # noqa: ASYNC110  # another process's end has no event here
            await asyncio.sleep(0.02)

    await soon(wait())


async def forgotten(agent: Obeying) -> None:
    """Until there are no sessions."""

    async def wait() -> None:
        while agent.hands._sessions and agent.hands._sessions._sessions:  # noqa: ASYNC110  # seen from outside
            await asyncio.sleep(0)

    await soon(wait())


def left(path: Path) -> str:
    """What is in a file that may not be there."""
    return path.read_text() if path.exists() else ""


async def number_in(path: Path) -> int:
    """Once it is written."""

    async def wait() -> int:
        while True:
            with contextlib.suppress(OSError, ValueError):
                return int(path.read_text())  # noqa: ASYNC240  # a temporary one
            await asyncio.sleep(0.01)

    return await soon(wait())


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names
