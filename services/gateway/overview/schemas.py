"""Response body of the fleet's overview."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct


class PeriodTraffic(Struct):
    """Traffic of the current billing period."""

    starts_at: datetime
    ends_at: datetime
    time_zone: str
    counted: Annotated[int, Meta(description="Bytes that count, with corrections")]
    allowance: Annotated[int | None, Meta(description="Bytes per period")]
    allowance_used: Annotated[float | None, Meta(description="Per cent")]


class ServerOverview(Struct):
    vps_id: UUID
    cpu: Annotated[
        list[float | None],
        Meta(
            description="CPU usage in per cent, one average for each of 60 minutes; null where there is no"
            " data, and empty without any"
        ),
    ]
    traffic: Annotated[PeriodTraffic | None, Meta(description="Null without any traffic yet")]


class FleetOverview(Struct):
    """The last hour of each server, in the order of the list of servers."""

    start: Annotated[datetime, Meta(description="Start of the first minute")]
    items: list[ServerOverview]
    total: int
