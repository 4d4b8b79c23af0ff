"""Files on their way through the gateway, which keeps nothing of them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from litestar.params import Parameter

from flotilla.v1.command_pb2 import CommandResponse, FileAction
from services.gateway import errors
from services.gateway.guard import AuthedRequest, owned
from services.gateway.orders import note
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
            allowed = True
            if isinstance(error, CommandError):
                allowed = error.failure != CommandResponse.FAILURE_FORBIDDEN
            problem = _problem(error)
            self.note(allowed=allowed, reason=str(problem))
            raise problem from error
        except errors.RequestError as problem:
            self.note(reason=str(problem))
            raise

    async def drop(self, upload_id: str) -> None:
        """What arrived of an upload, as far as that can be done now."""
        action = draft(FileAction.OPERATION_ABORT, self.path, upload_id)
        with suppress(CommandError, OfflineError, TransientError, PoisonError):
            await self.carrier.ask(action)


def _problem(
    error: CommandError | OfflineError | TransientError | PoisonError,
) -> errors.RequestError:
    if isinstance(error, CommandError):
        return errors.failed_there(error.failure, error.status, str(error))
    return errors.offline() if isinstance(error, OfflineError) else errors.unanswered()


async def vps_of(request: AuthedRequest, runtime: Runtime, vps_id: UUID) -> fleet.Vps:
    async with database.transaction(runtime.pool) as connection:
        return owned(request, await fleet.get(connection, vps_id=vps_id))


def draft(operation: FileAction.Operation.ValueType, path: str, upload_id: str) -> FileAction:
    return FileAction(operation=operation, path=path, upload_id=upload_id)
