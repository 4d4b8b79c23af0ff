"""Commands and the audit trail over HTTP."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_SERVERS = 200

Status = Literal["running", "finished", "timed_out", "refused", "failed", "cancelled", "lost"]
Script = Annotated[
    str, Meta(min_length=1, max_length=65_536, pattern=r"^[^\x00]*$", description="For `sh -c`")
]
Timeout = Annotated[
    int, Meta(ge=1, le=3_600, description="Seconds, after which all that it started is killed")
]


class CommandCreate(Struct, forbid_unknown_fields=True):
    script: Script
    timeout_seconds: Timeout = 60


class FanOut(Struct, forbid_unknown_fields=True):
    vps_ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_SERVERS)]
    script: Script
    timeout_seconds: Timeout = 60


class Command(Struct, kw_only=True):
    id: UUID
    vps_id: UUID
    username: str
    script: str
    status: Annotated[
        Status, Meta(description="`lost`: it began, and whether it came to its end is not known")
    ]
    exit_code: Annotated[
        int | None, Meta(description="Minus the number of the signal that ended it")
    ]
    truncated: Annotated[bool, Meta(description="There was more output than is kept")]
    reason: Annotated[str, Meta(description="Why it did not finish; else empty")]
    started_at: datetime
    finished_at: datetime | None


class CommandResult(Command, kw_only=True):
    stdout: str
    stderr: str


class CommandPage(Struct):
    items: list[Command]
    total: int


class CommandLine(Struct, kw_only=True, omit_defaults=True):
    """A line of a run on many servers; each has exactly one that is `finished` or `failed`."""

    vps_id: UUID
    event: Literal["started", "output", "finished", "failed"]
    command_id: UUID | UnsetType = UNSET
    stdout: str | UnsetType = UNSET
    stderr: str | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    exit_code: int | UnsetType | None = UNSET
    truncated: bool | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class AuditEntry(Struct, kw_only=True):
    id: UUID
    time: datetime
    actor: Annotated[str, Meta(description='"user:<id>", "agent:<id>", "console" or "anonymous"')]
    username: Annotated[str | None, Meta(description="Of an actor that has an account")]
    action: Annotated[str, Meta(description='"<kind>.<verb>"')]
    object: Annotated[str, Meta(description='"vps:<id>", or empty')]
    detail: Annotated[str, Meta(description="What of the object")]
    allowed: bool
    reason: str
    peer: str


class AuditPage(Struct):
    items: list[AuditEntry]
    total: Annotated[int, Meta(description="Counted up to 100 000")]
