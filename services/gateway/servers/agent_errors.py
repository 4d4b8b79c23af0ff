"""Errors of commands to agents: the server is offline, refused, failed or did not answer."""

from flotilla.v1.command_pb2 import CommandResponse
from flotilla.v1.shell_pb2 import ShellRefusal
from services.gateway.api.errors import RequestError
from services.gateway.api.problem_types import ProblemType
from services.kit.agents.commands import CommandError, OfflineError
from services.kit.errors import FlotillaError, PoisonError, TransientError

MAX_REASON = 500  # characters of an agent's reason

_OF_FAILURE = {
    CommandResponse.FAILURE_FORBIDDEN: ProblemType.AGENT_FORBIDDEN,
    CommandResponse.FAILURE_NOT_FOUND: ProblemType.AGENT_NOT_FOUND,
    CommandResponse.FAILURE_CONFLICT: ProblemType.AGENT_CONFLICT,
    CommandResponse.FAILURE_INVALID: ProblemType.AGENT_INVALID,
    CommandResponse.FAILURE_TOO_LARGE: ProblemType.AGENT_TOO_LARGE,
    CommandResponse.FAILURE_BUSY: ProblemType.AGENT_BUSY,
    CommandResponse.FAILURE_UNAVAILABLE: ProblemType.AGENT_UNAVAILABLE,
    CommandResponse.FAILURE_DISCONNECTED: ProblemType.AGENT_UNANSWERED,
}
# For answers without a failure.
_OF_STATUS = {
    CommandResponse.STATUS_TIMED_OUT: ProblemType.AGENT_TIMED_OUT,
    CommandResponse.STATUS_CANCELLED: ProblemType.AGENT_CANCELLED,
}
# Refusals by the shellproxy itself. If an agent refuses, its answer has a failure instead.
_OF_REFUSAL = {
    ShellRefusal.KIND_OFFLINE: ProblemType.AGENT_OFFLINE,
    ShellRefusal.KIND_UNANSWERED: ProblemType.AGENT_UNANSWERED,
    ShellRefusal.KIND_FORBIDDEN: ProblemType.FORBIDDEN,
    ShellRefusal.KIND_NOT_FOUND: ProblemType.ALREADY_ENDED,
    ShellRefusal.KIND_BUSY: ProblemType.BUSY,
    ShellRefusal.KIND_INVALID: ProblemType.VALIDATION,
}
_REFUSALS = {
    CommandResponse.FAILURE_FORBIDDEN,
    CommandResponse.FAILURE_INVALID,
    CommandResponse.FAILURE_TOO_LARGE,
}
_NOT_TRIED = {
    ProblemType.VALIDATION,
    ProblemType.PAYLOAD_TOO_LARGE,
    ProblemType.UNSUPPORTED_MEDIA_TYPE,
    ProblemType.FILE_NOT_TEXT,
    ProblemType.FILE_TOO_LARGE_TO_EDIT,
}


def offline() -> RequestError:
    return RequestError(
        ProblemType.AGENT_OFFLINE,
        "The server is offline, so nothing was done. Try again when it is online.",
    )


def unanswered() -> RequestError:
    return RequestError(
        ProblemType.AGENT_UNANSWERED,
        "The server did not answer, so it is not known whether the action was carried out."
        " Check this before you try again.",
    )


def failed_there(
    failure: CommandResponse.Failure.ValueType,
    status: CommandResponse.Status.ValueType,
    reason: str,
) -> RequestError:
    """Return the error for a command that an agent refused or could not complete."""
    type_ = _OF_FAILURE.get(failure) or _OF_STATUS.get(status) or ProblemType.AGENT_FAILED
    return RequestError(type_, reason[:MAX_REASON])


def refused_terminal(refusal: ShellRefusal) -> RequestError:
    """Return the error for a terminal that the shellproxy or the agent refused."""
    if refusal.kind == ShellRefusal.KIND_AGENT:
        return failed_there(refusal.failure, refusal.status, refusal.reason)
    type_ = _OF_REFUSAL.get(refusal.kind, ProblemType.DEPENDENCY_UNAVAILABLE)
    return RequestError(type_, refusal.reason)


def problem_of(
    error: CommandError | OfflineError | TransientError | PoisonError,
) -> RequestError:
    if isinstance(error, CommandError):
        return failed_there(error.failure, error.status, str(error))
    return offline() if isinstance(error, OfflineError) else unanswered()


def is_passing(
    failure: CommandResponse.Failure.ValueType, status: CommandResponse.Status.ValueType
) -> bool:
    """Tell whether sending the same command again may return its result."""
    # The edge refuses a command while it waits for the answer to the same command.
    asked_already = (
        failure == CommandResponse.FAILURE_CONFLICT and status == CommandResponse.STATUS_REFUSED
    )
    return asked_already or failure == CommandResponse.FAILURE_BUSY


def was_refused(error: FlotillaError) -> bool:
    """Tell whether the agent did not execute the command at all."""
    if isinstance(error, CommandError):
        return error.status == CommandResponse.STATUS_REFUSED or error.failure in _REFUSALS
    if isinstance(error, RequestError):
        return error.type in _NOT_TRIED
    return isinstance(error, OfflineError)
