"""Commands to the agent of a request's server: signed, sent and audited.

A handler takes the agent as `agent`. By then, the dependency `server` has checked that the caller may
do the route's action on this server.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from litestar.di import NamedDependency
from litestar.types import Receive, Scope

from flotilla.v1.command_pb2 import (
    CancelAction,
    Command,
    CommandResponse,
    DockerAction,
    FileAction,
)
from services.gateway.api.request_audit import RequestAudit, UseAudit
from services.gateway.context import Context, UseContext
from services.gateway.servers import store
from services.gateway.servers.access import OwnedServer, object_id
from services.gateway.servers.agent_errors import problem_of, was_refused
from services.kit.access import Actor
from services.kit.agents.commands import (
    MAX_OUTPUT,
    CommandError,
    OfflineError,
    execute,
    execution,
    new_command,
    require_finished,
)
from services.kit.errors import PoisonError, TransientError

CANCEL_TIMEOUT = 10.0  # seconds


async def disconnected(receive: Receive) -> None:
    """Wait until the client of a request disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Agent:
    """The agent of a request's server."""

    def __init__(
        self, context: Context, audit: RequestAudit, server: store.Vps, actor: Actor
    ) -> None:
        self.context = context
        self.audit = audit
        self.server = server
        self.user_id = actor.id
        self.username = actor.username

    async def call(
        self,
        *,
        timeout: float,
        max_output: int = MAX_OUTPUT,
        repeated: bool = False,
        **action: Any,
    ) -> CommandResponse:
        """Return the answer to one action, such as `file=FileAction(…)`.

        The agent has `timeout` seconds. `repeated` is for polls and for parts of a transfer, which is
        audited as a whole: such a call is audited only if the host's policy forbids it.

        The entry of a privileged action is stored before the action; a failure has another entry.

        Raises:
            RequestError: the agent is offline, refused, failed, or did not answer; or the audit
                entry could not be stored.
            TransientError: the bus is away, and nothing was done.
        """
        return await self._execute(self._command(timeout, max_output, action), repeated=repeated)

    async def call_for_client(
        self, receive: Receive, *, timeout: float, **action: Any
    ) -> CommandResponse:
        """Return the answer as `call` does, but end the command when the client leaves.

        Raises: RequestError, TransientError: as `call`.
        """
        command = self._command(timeout, MAX_OUTPUT, action)
        working = asyncio.create_task(self._execute(command, repeated=False))
        leaving = asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                await self._cancel(command)
            return await working
        finally:
            working.cancel()
            leaving.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)

    async def _cancel(self, running: Command) -> None:
        command = self._command(
            CANCEL_TIMEOUT, MAX_OUTPUT, {"cancel": CancelAction(command_id=running.id)}
        )
        # If this fails, the command ends at its timeout.
        with suppress(CommandError, OfflineError, TransientError, PoisonError):
            await execute(self.context.bus, self.context.signer, command)

    async def _execute(self, command: Command, *, repeated: bool) -> CommandResponse:
        self.context.bus.require()
        is_recorded = repeated or await self._begin(command)
        try:
            response = await execute(self.context.bus, self.context.signer, command)
        except (CommandError, OfflineError, TransientError, PoisonError) as error:
            problem = problem_of(error)
            if not repeated or problem.status == 403:
                self._record_failed(command, error)
            raise problem from error
        if not is_recorded:
            self.record(audit_action(command), audit_detail(command))
        return response

    async def _begin(self, command: Command) -> bool:
        """Store the entry of a privileged action; return False if the action is not privileged.

        Raises:
            RequestError: the entry could not be stored.
        """
        if self.audit.is_privileged:
            await self.begin(audit_action(command), audit_detail(command))
        return self.audit.is_privileged

    async def begin(self, action: str, detail: str) -> None:
        """Store the audit entry of an action on the server that is about to be done.

        Raises:
            RequestError: the entry could not be stored.
        """
        await self.audit.begin(object_id(self.server), detail, action=action)

    async def call_parts(
        self, *, timeout: float, max_output: int = MAX_OUTPUT, **action: Any
    ) -> AsyncGenerator[CommandResponse, None]:
        """Yield an answer part by part; close it (`aclosing`) when it is not read to its end.

        Raises:
            RequestError, TransientError: as `call`; after the first part too.
        """
        self.context.bus.require()
        command = self._command(timeout, max_output, action)
        is_recorded = await self._begin(command)
        try:
            async with execution(self.context.bus, self.context.signer, command) as running:
                async for part in running.parts():
                    if part.last:
                        require_finished(part)
                    if not is_recorded:
                        is_recorded = True
                        self.record(audit_action(command), audit_detail(command))
                    yield part
        except (CommandError, OfflineError, TransientError, PoisonError) as error:
            self._record_failed(command, error)
            raise problem_of(error) from error

    def record(
        self, action: str, detail: str = "", *, allowed: bool = True, reason: str = ""
    ) -> None:
        """Write an audit entry of an action on the server that was done, refused or failed (`reason`)."""
        self.audit.record(
            object_id(self.server), detail, action=action, allowed=allowed, reason=reason
        )

    def _record_failed(
        self,
        command: Command,
        error: CommandError | OfflineError | TransientError | PoisonError,
    ) -> None:
        self.record(
            audit_action(command),
            audit_detail(command),
            allowed=not was_refused(error),
            reason=str(problem_of(error)),
        )

    def _command(self, timeout: float, max_output: int, action: dict[str, Any]) -> Command:
        command = new_command(
            str(self.server.id), self.username, timeout=timeout, max_output=max_output
        )
        command.MergeFrom(Command(**action))
        return command


UseAgent = NamedDependency[Agent]


def provide_agent(scope: Scope, context: UseContext, audit: UseAudit, server: OwnedServer) -> Agent:
    return Agent(context, audit, server, scope["user"])


def audit_action(command: Command) -> str:
    """Return the action of the audit log for a command, such as "file.rename"."""
    kind = command.WhichOneof("action")
    if kind == "file":
        return f"file.{_operation(FileAction.Operation.Name(command.file.operation))}"
    if kind == "docker":
        return f"docker.{_operation(DockerAction.Operation.Name(command.docker.operation))}"
    return {"shell": "command.run", "cancel": "command.cancel"}.get(kind or "", f"command.{kind}")


def audit_detail(command: Command) -> str:
    """Return the object of a command, never its contents: a script or a file may hold secrets."""
    kind = command.WhichOneof("action")
    if kind == "file":
        action = command.file
        return f"{action.path} → {action.destination}" if action.destination else action.path
    if kind == "docker":
        return command.docker.target
    return command.cancel.command_id if kind == "cancel" else command.id


def _operation(name: str) -> str:
    return name.removeprefix("OPERATION_").lower()
