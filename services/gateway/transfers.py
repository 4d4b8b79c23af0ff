"""Files on their way through the gateway, which keeps nothing of them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from litestar.params import Parameter

from flotilla.v1.command_pb2 import FileAction
from services.gateway import errors
from services.gateway.guard import AuthedRequest, owned
from services.gateway.orders import note, problem_of, was_refused
from services.gateway.pieces import Carrier
from services.gateway.runtime import Runtime
from services.gateway.store import fleet
from services.kit import database
from services.kit.commands import CommandError, OfflineError
from services.kit.errors import PoisonError, TransientError

# As `file_schemas.Path`, which Litestar would not look at in a query.
AskedPath = Annotated[
    str,
    Parameter(
        min_length=1,
        max_length=4096,
        pattern=r"^/[^\x00]*$",
        description="Absolute, on the server",
    ),
]


@dataclass(frozen=True, slots=True)
class Transfer:
    """One file's way through here, of which the audit tells once."""

    request: AuthedRequest
    runtime: Runtime
    vps: fleet.Vps
    action: str
    path: str
    carrier: Carrier

    @classmethod
    async def of(
        cls, request: AuthedRequest, runtime: Runtime, vps_id: UUID, action: str, path: str
    ) -> "Transfer":
        """Raises: RequestError: the server is not the actor's."""
        vps = await vps_of(request, runtime, vps_id)
        carrier = Carrier(runtime, str(vps.id), request.user.username)
        return cls(request, runtime, vps, action, path, carrier)

    def note(self, more: str = "", *, allowed: bool = True, reason: str = "") -> None:
        what = f"{self.path} ({more})" if more else self.path
        note(
            *(self.request, self.runtime, self.vps, self.action, what),
            allowed=allowed,
            reason=reason,
        )

    @contextmanager
    def told(self) -> Iterator[None]:
        """Raises: RequestError: instead of what the agent says, after its audit entry."""
        try:
            yield
        except (CommandError, OfflineError, TransientError, PoisonError) as error:
            problem = problem_of(error)
            self.note(allowed=not was_refused(error), reason=str(problem))
            raise problem from error
        except errors.RequestError as problem:
            self.note(allowed=not was_refused(problem), reason=str(problem))
            raise

    async def drop(self, upload_id: str) -> None:
        """What arrived of an upload, as far as that can be done now."""
        action = draft(FileAction.OPERATION_ABORT, self.path, upload_id)
        with suppress(CommandError, OfflineError, TransientError, PoisonError):
            await self.carrier.ask(action)


async def vps_of(request: AuthedRequest, runtime: Runtime, vps_id: UUID) -> fleet.Vps:
    async with database.transaction(runtime.pool) as connection:
        return owned(request, await fleet.get(connection, vps_id=vps_id))


def draft(operation: FileAction.Operation.ValueType, path: str, upload_id: str) -> FileAction:
    return FileAction(operation=operation, path=path, upload_id=upload_id)
