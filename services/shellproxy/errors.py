from flotilla.v1.shell_pb2 import ShellRefusal
from services.kit.errors import FlotillaError


class RefusedError(FlotillaError):
    """A terminal is not opened, or something is not done in it; the message is for people."""

    def __init__(self, kind: ShellRefusal.Kind.ValueType, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind

    def refusal(self) -> ShellRefusal:
        return ShellRefusal(kind=self.kind, reason=str(self))
