from enum import StrEnum

import grpc

from services.kit.errors import FlotillaError


class Reason(StrEnum):
    """Reasons for refusing an agent: label of a metric, and key of the gRPC status."""

    UNKNOWN_AGENT = "unknown-agent"
    BAD_SIGNATURE = "bad-signature"
    DISABLED = "disabled"
    IDENTITY = "identity"
    TOKEN = "token"  # noqa: S105  a label
    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    TOO_MANY_STREAMS = "too-many-streams"
    BUSY = "busy"
    HANDSHAKE_LATE = "handshake-late"
    SILENT = "silent"
    SLOW = "slow"
    REPLACED = "replaced"
    DRAINING = "draining"
    BUS_AWAY = "bus-away"


STATUS = {
    Reason.UNKNOWN_AGENT: grpc.StatusCode.UNAUTHENTICATED,
    Reason.BAD_SIGNATURE: grpc.StatusCode.UNAUTHENTICATED,
    Reason.DISABLED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.IDENTITY: grpc.StatusCode.PERMISSION_DENIED,
    Reason.TOKEN: grpc.StatusCode.UNAUTHENTICATED,
    Reason.MALFORMED: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.OVERSIZED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.TOO_MANY_STREAMS: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.BUSY: grpc.StatusCode.UNAVAILABLE,
    Reason.HANDSHAKE_LATE: grpc.StatusCode.DEADLINE_EXCEEDED,
    Reason.SILENT: grpc.StatusCode.DEADLINE_EXCEEDED,
    Reason.SLOW: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.REPLACED: grpc.StatusCode.ABORTED,
    Reason.DRAINING: grpc.StatusCode.UNAVAILABLE,
    Reason.BUS_AWAY: grpc.StatusCode.UNAVAILABLE,
}


class IntakeError(FlotillaError):
    """The edge ends an agent's stream or call; the agent receives the message."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason

    @property
    def status(self) -> grpc.StatusCode:
        return STATUS[self.reason]


class BatchError(IntakeError):
    """The edge refuses one batch; the stream goes on."""
