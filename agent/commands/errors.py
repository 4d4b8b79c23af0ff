from agent.base.errors import AgentError
from flotilla.v1.command_pb2 import CommandResponse


class CommandFailedError(AgentError):
    """A command was refused or failed.

    `reason` is shown in the console: what happened, why and what to do, in full sentences.
    """

    def __init__(self, failure: CommandResponse.Failure.ValueType, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure


def forbidden(reason: str) -> CommandFailedError:
    return CommandFailedError(CommandResponse.FAILURE_FORBIDDEN, reason)


def not_found(reason: str) -> CommandFailedError:
    return CommandFailedError(CommandResponse.FAILURE_NOT_FOUND, reason)


def conflict(reason: str) -> CommandFailedError:
    return CommandFailedError(CommandResponse.FAILURE_CONFLICT, reason)


def invalid(reason: str) -> CommandFailedError:
    return CommandFailedError(CommandResponse.FAILURE_INVALID, reason)


def too_large(reason: str) -> CommandFailedError:
    return CommandFailedError(CommandResponse.FAILURE_TOO_LARGE, reason)


def busy(reason: str) -> CommandFailedError:
    return CommandFailedError(CommandResponse.FAILURE_BUSY, reason)


def unavailable(reason: str) -> CommandFailedError:
    return CommandFailedError(CommandResponse.FAILURE_UNAVAILABLE, reason)
