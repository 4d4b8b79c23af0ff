from flotilla.v1.shell_pb2 import ShellRefusal
from services.kit.agents.commands import CommandError
from services.kit.errors import FlotillaError


class RefusedError(FlotillaError):
    """A request about a terminal is refused; the message is shown to the user."""

    def __init__(self, kind: ShellRefusal.Kind.ValueType, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind

    def refusal(self) -> ShellRefusal:
        return ShellRefusal(kind=self.kind, reason=str(self))


class AgentRefusedError(RefusedError):
    """An agent did not open a terminal. The gateway converts its failure to a problem."""

    def __init__(self, error: CommandError) -> None:
        super().__init__(ShellRefusal.KIND_AGENT, str(error))
        self._failure = error.failure
        self._status = error.status

    def refusal(self) -> ShellRefusal:
        refusal = super().refusal()
        refusal.failure, refusal.status = self._failure, self._status
        return refusal
