"""What goes over HTTP and WebSockets of terminals."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct


class ShellSession(Struct):
    id: str
    vps_id: UUID
    username: str
    kind: Literal["shell", "container"]
    container: str | None
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    exit_code: int | None
    viewers: Annotated[int, Meta(description="Screens that show it, as of a few seconds ago")]
    bytes: Annotated[int, Meta(description="Of output")]
    recorded: bool
    duration_seconds: float


class ShellSessionPage(Struct):
    items: list[ShellSession]
    total: int


class Resize(Struct, tag_field="type", tag="resize", forbid_unknown_fields=True):
    columns: Annotated[int, Meta(ge=1, le=1000)]
    rows: Annotated[int, Meta(ge=1, le=500)]


class Credit(Struct, tag_field="type", tag="credit", forbid_unknown_fields=True):
    offset: Annotated[int, Meta(ge=0, lt=2**53)]


class Close(Struct, tag_field="type", tag="close", forbid_unknown_fields=True):
    pass


# What a screen says besides what is typed.
Said = Resize | Credit | Close
