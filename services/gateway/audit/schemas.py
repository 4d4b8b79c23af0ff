"""The audit log over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct


class AuditEntry(Struct, kw_only=True):
    seq: Annotated[int, Meta(description="Number in the chain; 1 is the first entry ever")]
    id: UUID
    time: Annotated[datetime, Meta(description="Time of the action")]
    stored_at: datetime
    actor: Annotated[str, Meta(description='"user:<id>", "agent:<id>", "console" or "anonymous"')]
    username: Annotated[str | None, Meta(description="Name of an actor that has an account")]
    action: Annotated[str, Meta(description='"<kind>.<verb>"')]
    object: Annotated[str, Meta(description='"vps:<id>", "user:<id>", "run:<id>", or empty')]
    object_name: Annotated[
        str | None, Meta(description="Name of a server or user that still exists")
    ]
    detail: Annotated[str, Meta(description="Part of the object, such as a path")]
    allowed: bool
    reason: Annotated[str, Meta(description="Reason of a refusal or failure; else empty")]
    peer: Annotated[str, Meta(description="Address of the client")]
    hash: Annotated[
        str, Meta(description="SHA-256, in hexadecimal digits, of this entry and the one before")
    ]


class AuditPage(Struct):
    items: list[AuditEntry]
    total: Annotated[int, Meta(description="Entries that match the filters; counted up to 100,000")]
    next_before: Annotated[
        int | None, Meta(description="`before` of the next page; null if this is the last one")
    ]
