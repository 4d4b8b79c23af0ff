"""WebSocket tickets over HTTP."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct


class TicketRequest(Struct, forbid_unknown_fields=True):
    resource: Annotated[
        str,
        Meta(
            max_length=200,
            description="Path of a WebSocket, such as `fleet/realtime` or `vps/<id>/shell`",
        ),
    ]


class Ticket(Struct):
    ticket: str
    expires_at: datetime
