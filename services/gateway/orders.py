"""What a request has a server's agent do: signed, sent, audited, its failure made a problem.

Whether the actor may is the handler's question (`guard.owned`), asked before.
"""

from collections.abc import AsyncGenerator
from typing import Any

from flotilla.v1.command_pb2 import Command, CommandResponse, DockerAction, FileAction
from services.gateway import errors
from services.gateway.guard import AuthedRequest, address
from services.gateway.runtime import Runtime
from services.gateway.store import fleet
from services.kit.commands import (
    MAX_OUTPUT,
    CommandError,
    OfflineError,
    checked,
    execute,
    execution,
    new_command,
)
from services.kit.errors import FlotillaError, PoisonError, TransientError

_REFUSALS = {
    CommandResponse.FAILURE_FORBIDDEN,
    CommandResponse.FAILURE_INVALID,
    CommandResponse.FAILURE_TOO_LARGE,
}


async def order(
    request: AuthedRequest,
    runtime: Runtime,
    vps: fleet.Vps,
    *,
    timeout: float,
    max_output: int = MAX_OUTPUT,
    repeated: bool = False,
    **action: Any,
) -> CommandResponse:
    """The answer to one action, such as `file=FileAction(…)`, done within `timeout` seconds.

    `repeated` says that this is one of many, a poll or a part of a transfer that the caller
    notes as a whole: it is audited only when the host's policy forbids it.

    Raises:
        RequestError: offline, refused, failed, or unanswered.
        TransientError: the bus is away, and nothing was done.
    """
    runtime.bus.require()
    command = _command(request, vps, timeout, max_output, action)
    try:
        response = await execute(runtime.bus, runtime.signer, command)
    except (CommandError, OfflineError, TransientError, PoisonError) as error:
        problem = problem_of(error)
        if not repeated or problem.status == 403:
            _note_failed(request, runtime, vps, command, error)
        raise problem from error
    if not repeated:
        note(request, runtime, vps, verb(command), detail(command))
    return response


async def order_parts(
    request: AuthedRequest,
    runtime: Runtime,
    vps: fleet.Vps,
    *,
    timeout: float,
    max_output: int = MAX_OUTPUT,
    **action: Any,
) -> AsyncGenerator[CommandResponse, None]:
    """As `order`, for an answer in parts; close it (`aclosing`) when not read to its end.

    Raises:
        RequestError, TransientError: as `order`; of an answer that began too.
    """
    runtime.bus.require()
    command = _command(request, vps, timeout, max_output, action)
    noted = False
    try:
        async with execution(runtime.bus, runtime.signer, command) as running:
            async for part in running.parts():
                if part.last:
                    checked(part)
                if not noted:
                    noted = True
                    note(request, runtime, vps, verb(command), detail(command))
                yield part
    except (CommandError, OfflineError, TransientError, PoisonError) as error:
        _note_failed(request, runtime, vps, command, error)
        raise problem_of(error) from error


def note(
    request: AuthedRequest,
    runtime: Runtime,
    vps: fleet.Vps,
    action: str,
    what: str = "",
    *,
    allowed: bool = True,
    reason: str = "",
) -> None:
    """An audit entry of something done to a server, refused, or failed (`reason`)."""
    runtime.trail.note(
        actor=f"user:{request.user.id}",
        action=action,
        object=f"vps:{vps.id}",
        allowed=allowed,
        reason=reason,
        peer=address(request),
        detail=what,
    )


def verb(command: Command) -> str:
    """The audit's word for a command, such as "file.rename"."""
    kind = command.WhichOneof("action")
    if kind == "file":
        return f"file.{_operation(FileAction.Operation.Name(command.file.operation))}"
    if kind == "docker":
        return f"docker.{_operation(DockerAction.Operation.Name(command.docker.operation))}"
    return {"shell": "command.run", "cancel": "command.cancel"}.get(kind or "", f"command.{kind}")


def detail(command: Command) -> str:
    """What it is about, never what is in it: a script or a file may hold secrets."""
    kind = command.WhichOneof("action")
    if kind == "file":
        action = command.file
        return f"{action.path} → {action.destination}" if action.destination else action.path
    if kind == "docker":
        return command.docker.target
    return command.cancel.command_id if kind == "cancel" else command.id


def _operation(name: str) -> str:
    return name.removeprefix("OPERATION_").lower()


def _command(
    request: AuthedRequest,
    vps: fleet.Vps,
    timeout: float,
    max_output: int,
    action: dict[str, Any],
) -> Command:
    command = new_command(
        str(vps.id), request.user.username, timeout=timeout, max_output=max_output
    )
    command.MergeFrom(Command(**action))
    return command


def problem_of(
    error: CommandError | OfflineError | TransientError | PoisonError,
) -> errors.RequestError:
    if isinstance(error, CommandError):
        return errors.failed_there(error.failure, error.status, str(error))
    return errors.offline() if isinstance(error, OfflineError) else errors.unanswered()


def was_refused(error: FlotillaError) -> bool:
    """Whether nothing was tried, for what was asked, of whom, or when."""
    if isinstance(error, CommandError):
        return error.status == CommandResponse.STATUS_REFUSED or error.failure in _REFUSALS
    if isinstance(error, errors.RequestError):
        return error.status in {413, 415, 422}
    return isinstance(error, OfflineError)


def _note_failed(
    request: AuthedRequest,
    runtime: Runtime,
    vps: fleet.Vps,
    command: Command,
    error: CommandError | OfflineError | TransientError | PoisonError,
) -> None:
    what, allowed = detail(command), not was_refused(error)
    reason = str(problem_of(error))
    note(request, runtime, vps, verb(command), what, allowed=allowed, reason=reason)
