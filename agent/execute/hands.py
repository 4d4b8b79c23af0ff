import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import AgentError
from agent.execute.failure import unavailable
from agent.execute.outgoing import Outgoing
from agent.execute.policy import Policy
from agent.execute.tools import Tools
from agent.execute.trust import Trust
from agent.identity import StateFolder
from flotilla.v1.agent_pb2 import MessageToServer, Powers
from flotilla.v1.command_pb2 import CommandRequest, PtyDataToAgent

if TYPE_CHECKING:
    from agent.execute.executed import Executed
    from agent.execute.executor import Executor
    from agent.execute.sessions import Sessions

log = logging.getLogger(__name__)


class Hands:
    """What the server may do on this host: commands and sessions, as far as the policy goes.

    Loaded when they are first asked for, so that hosts where nobody asks do not pay.
    """

    def __init__(
        self,
        state: StateFolder,
        policy: Policy,
        trust: Trust,
        *,
        forbidden: tuple[Path, ...] = (),
        docker_socket: Callable[[], Path],
        docker_changed: Callable[[], None],
    ) -> None:
        self.outgoing = Outgoing()
        self._state = state
        self._path = state.path / "executed.db"
        self._policy = policy
        self._trust = trust
        self._tools = Tools(
            policy,
            forbidden=(state.path, *forbidden),
            docker_socket=docker_socket,
            docker_changed=docker_changed,
            mark=trust.vps_id,
            rotate=self._rotate,
        )
        self._executed: Executed | None = None
        self._executor: Executor | None = None
        self._sessions: Sessions | None = None
        self._in_session = asyncio.Event()
        self._stopped = False

    def powers(self) -> Powers:
        return self._policy.powers(self._trust.keys)

    async def start(self) -> None:
        """End what an agent that was killed left running."""
        if self._policy and self._path.exists():
            for name in await self._remembered().left():
                from agent.execute import shell  # noqa: PLC0415  # seldom needed

                log.warning("command %s was under way when the agent ended", name)
                await shell.end_left(name)

    def met(self, server_time_unix_ms: int) -> None:
        """The server said what time it is."""
        self._trust.learn_time(server_time_unix_ms)

    def opened(self) -> None:
        """There is a stream; what is under way stays so, whatever became of the one before."""
        self.outgoing.opened()
        if self._sessions:
            self._sessions.moved()

    def lost(self) -> None:
        self.outgoing.lost()

    def command(self, request: CommandRequest) -> None:
        if self._stopped:
            return
        if self._executor is None:
            from agent.execute.executor import Executor  # noqa: PLC0415  # when it is first used

            self._executor = Executor(
                self._policy, self._trust, self._remembered(), self.outgoing, self._tools
            )
        self._executor.take(request)

    def session(self, data: PtyDataToAgent) -> None:
        if self._sessions is None:
            if self._stopped:
                return
            from agent.execute.sessions import Sessions  # noqa: PLC0415  # when it is first used

            self._sessions = Sessions(self._policy, self._trust, self._remembered(), self._tools)
            self._in_session.set()
        self._sessions.take(data)

    async def next_of_sessions(self) -> MessageToServer:
        while self._sessions is None:
            await self._in_session.wait()
        return await self._sessions.next_message()

    async def stop(self) -> None:
        """End what runs, and have the server told where it can be."""
        self._stopped = True
        ends = [part.close() for part in (self._executor, self._sessions) if part]
        await asyncio.gather(*ends)

    async def settled(self) -> None:
        """Wait until all that can be told has been sent."""
        await self.outgoing.settled()
        if self._sessions:
            await self._sessions.settled()

    async def close(self) -> None:
        await self.stop()
        if self._sessions:
            await self._sessions.dismiss()
        await self._tools.close()
        if self._executed:
            await self._executed.close()

    def _remembered(self) -> "Executed":
        if self._executed is None:
            from agent.execute.executed import Executed  # noqa: PLC0415  # as above

            self._executed = Executed(self._path, self._trust.now)
        return self._executed

    async def _rotate(self, key: bytes) -> None:
        try:
            await asyncio.to_thread(self._state.keep_command_keys, (key,))
        except (OSError, AgentError) as error:
            raise unavailable(f"the new key cannot be kept: {error}") from None
        self._trust.keys = (key,)
        log.warning("from now on the agent obeys the command key %s alone", key.hex())
