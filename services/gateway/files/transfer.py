"""A file transfer between a client and an agent. The gateway stores nothing of the file."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

from litestar.params import Parameter

from flotilla.v1.command_pb2 import FileAction
from services.gateway.api import errors
from services.gateway.api.problem_types import ProblemType
from services.gateway.files.chunks import FileCaller
from services.gateway.files.schemas import PATH_DESCRIPTION
from services.gateway.servers.agent_calls import Agent
from services.gateway.servers.agent_errors import problem_of, was_refused
from services.kit.agents.commands import CommandError, OfflineError
from services.kit.errors import PoisonError, TransientError

# The same as `schemas.Path`: Litestar ignores the `Meta` of msgspec in a query.
PathParameter = Annotated[
    str,
    Parameter(
        min_length=1,
        max_length=4096,
        pattern=r"^/[^\x00]*$",
        description=PATH_DESCRIPTION,
    ),
]


class Transfer:
    """A transfer of one file, which is audited as a whole."""

    def __init__(self, agent: Agent, action: str, path: str) -> None:
        self.agent = agent
        self.action = action
        self.path = path
        self.caller = FileCaller(agent.context, str(agent.server.id), agent.username)

    async def begin(self, detail: str = "") -> None:
        """Store the audit entry of a transfer that is about to change the file.

        Raises:
            RequestError: the entry could not be stored.
        """
        await self.agent.begin(self.action, self._detail(detail))

    def record(self, detail: str = "", *, allowed: bool = True, reason: str = "") -> None:
        """Write an audit entry of the transfer: done, refused, or failed (`reason`)."""
        self.agent.record(self.action, self._detail(detail), allowed=allowed, reason=reason)

    def _detail(self, detail: str) -> str:
        return f"{self.path} ({detail})" if detail else self.path

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn a failure inside the block into a `RequestError`, and write its audit entry.

        Raises:
            RequestError.
        """
        try:
            yield
        except (CommandError, OfflineError, TransientError, PoisonError) as error:
            problem = problem_of(error)
            self.record(allowed=not was_refused(error), reason=str(problem))
            raise problem from error
        except errors.RequestError as problem:
            if problem.type is ProblemType.AUDIT_UNAVAILABLE:
                raise  # recorded already
            self.record(allowed=not was_refused(problem), reason=str(problem))
            raise

    async def drop(self, upload_id: str) -> None:
        """Delete a partial upload; if that fails now, the agent deletes it after a day."""
        action = partial_upload_action(FileAction.OPERATION_ABORT, self.path, upload_id)
        with suppress(CommandError, OfflineError, TransientError, PoisonError):
            await self.caller.call(action)


def partial_upload_action(
    operation: FileAction.Operation.ValueType, path: str, upload_id: str
) -> FileAction:
    return FileAction(operation=operation, path=path, upload_id=upload_id)
