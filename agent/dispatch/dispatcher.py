import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.base.errors import AgentError
from agent.base.identity import StateFolder
from agent.commands.errors import unavailable
from agent.commands.policy import Policy
from agent.commands.responses import ResponseQueue
from agent.commands.signature_check import CommandVerifier
from agent.dispatch.handlers import Handlers
from flotilla.v1.agent_pb2 import MessageToServer, Powers
from flotilla.v1.command_pb2 import CommandRequest, PtyDataToAgent

if TYPE_CHECKING:
    from agent.commands.command_history import CommandHistory
    from agent.dispatch.executor import Executor
    from agent.dispatch.sessions import SessionManager

log = logging.getLogger(__name__)


class Dispatcher:
    """Passes commands and session data from the stream to the executor and the sessions.

    Executor, sessions and handlers are imported when they are first used, so that a host that
    only reports metrics needs less memory.
    """

    def __init__(
        self,
        state: StateFolder,
        policy: Policy,
        verifier: CommandVerifier,
        *,
        protected: Sequence[Path] = (),
        docker_socket: Callable[[], Path],
        docker_changed: Callable[[], None],
    ) -> None:
        """File actions never touch the state folder and the `protected` paths."""
        self.responses = ResponseQueue()
        self._state = state
        self._history_path = state.path / "executed.db"
        self._policy = policy
        self._verifier = verifier
        self._handlers = Handlers(
            policy,
            protected=(state.path, *protected),
            docker_socket=docker_socket,
            docker_changed=docker_changed,
            agent_tag=verifier.vps_id,
            rotate_key=self._rotate_key,
        )
        self._history: CommandHistory | None = None
        self._executor: Executor | None = None
        self._sessions: SessionManager | None = None
        self._has_sessions = asyncio.Event()
        self._stopped = False
        self._used = False

    def was_used(self) -> bool:
        """Return True if commands or session data arrived since the last call."""
        used, self._used = self._used, False
        return used

    def permissions(self) -> Powers:
        return self._policy.permissions(self._verifier.keys)

    async def start(self) -> None:
        """End the processes of commands that ran when the last agent process was killed."""
        if self._policy and self._history_path.exists():
            for command_id in await self._open_history().end_unfinished():
                from agent.commands import script  # noqa: PLC0415  # only when it is used

                log.warning("command %s was interrupted by the end of the agent", command_id)
                await script.end_orphans(command_id)

    def set_server_time(self, server_time_unix_ms: int) -> None:
        self._verifier.set_server_time(server_time_unix_ms)

    def stream_opened(self) -> None:
        """Send responses and session data to the new stream; commands and sessions go on."""
        self.responses.stream_opened()
        if self._sessions:
            self._sessions.stream_opened()

    def stream_lost(self) -> None:
        self.responses.stream_lost()

    def handle_command(self, request: CommandRequest) -> None:
        self._used = True
        if self._stopped:
            return
        if self._executor is None:
            from agent.dispatch.executor import Executor  # noqa: PLC0415  # only when it is used

            self._executor = Executor(
                policy=self._policy,
                verifier=self._verifier,
                history=self._open_history(),
                responses=self.responses,
                handlers=self._handlers,
            )
        self._executor.submit(request)

    def handle_session_data(self, data: PtyDataToAgent) -> None:
        self._used = True
        if self._sessions is None:
            if self._stopped:
                return
            from agent.dispatch.sessions import SessionManager  # noqa: PLC0415  # only when used

            self._sessions = SessionManager(
                policy=self._policy,
                verifier=self._verifier,
                history=self._open_history(),
                handlers=self._handlers,
            )
            self._has_sessions.set()
        self._sessions.handle(data)

    async def next_session_message(self) -> MessageToServer:
        """Wait for the next message. Calling this means that the last one was sent."""
        while self._sessions is None:
            await self._has_sessions.wait()
        return await self._sessions.next_message()

    async def stop(self) -> None:
        """End commands and sessions, and queue the messages that report their end."""
        self._stopped = True
        await asyncio.gather(*(part.close() for part in (self._executor, self._sessions) if part))

    async def drain(self) -> None:
        """Wait until all queued messages are sent."""
        await self.responses.drain()
        if self._sessions:
            await self._sessions.drain()

    async def close(self) -> None:
        await self.stop()
        if self._sessions:
            await self._sessions.discard()
        await self._handlers.close()
        if self._history:
            await self._history.close()

    def _open_history(self) -> "CommandHistory":
        if self._history is None:
            from agent.commands.command_history import CommandHistory  # noqa: PLC0415  # as above

            self._history = CommandHistory(self._history_path, self._verifier.now)
        return self._history

    async def _rotate_key(self, key: bytes) -> None:
        try:
            await asyncio.to_thread(self._state.save_command_keys, (key,))
        except (OSError, AgentError) as error:
            raise unavailable(
                f"The agent could not save the new command key: {error}. It still trusts the old"
                " one."
            ) from None
        self._verifier.keys = (key,)
        log.warning("the command key was rotated; the agent now trusts only %s", key.hex())
