"""Response bodies and WebSocket frames of terminals."""

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
    exit_code: Annotated[
        int | None, Meta(description="Null while it runs, and if the shell did not end by itself")
    ]
    viewers: Annotated[int, Meta(description="Connected viewers; updated every few seconds")]
    bytes: Annotated[int, Meta(description="Bytes of output")]
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


# Text frames of a viewer; typed input comes in binary frames.
ViewerFrame = Resize | Credit | Close
