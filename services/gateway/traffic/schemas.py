"""Request and response bodies of monthly traffic."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from services.gateway.api.validation_messages import LINES

MAX_BYTES = 1 << 60

MONTH_PATTERN = r"^20[0-9]{2}-(0[1-9]|1[0-2])$"
Month = Annotated[str, Meta(pattern=MONTH_PATTERN, description="Year and month, such as `2026-03`")]
Correction = Annotated[
    int, Meta(ge=-MAX_BYTES, le=MAX_BYTES, description="Bytes to add; negative to subtract")
]
Percent = Annotated[float, Meta(description="Per cent")]
Rate = Annotated[float, Meta(description="Bytes per second")]


class TrafficSettings(Struct, forbid_unknown_fields=True):
    reset_day: Annotated[
        int,
        Meta(
            ge=1,
            le=31,
            description="Day of the month on which a period starts; in a shorter month, its last day",
        ),
    ] = 1
    time_zone: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            pattern=r"^[\w+/-]+$",
            description="IANA time zone, such as `Europe/Berlin`",
        ),
    ] = "UTC"
    counted: Annotated[
        Literal["out", "in", "both", "max"],
        Meta(description="Direction that counts; `max` is the greater of in and out"),
    ] = "both"
    allowance: Annotated[int, Meta(ge=1, le=MAX_BYTES, description="Bytes per period")] | None = (
        None
    )


class TrafficMonth(Struct):
    """A billing period, named after the month in which it starts."""

    month: Month
    starts_at: datetime
    ends_at: datetime
    counted_until: datetime
    total_rx: Annotated[int, Meta(description="Measured bytes")]
    total_tx: Annotated[int, Meta(description="Measured bytes")]
    corrected_rx: Annotated[int, Meta(description="Sum of the corrections, in bytes")]
    corrected_tx: Annotated[int, Meta(description="Sum of the corrections, in bytes")]
    counted: Annotated[int, Meta(description="Bytes that count, with corrections")]
    allowance_used: Percent | None
    coverage: Annotated[
        Percent | None, Meta(description="Share of the elapsed time that has data, in per cent")
    ]
    rx_p95: Rate | None
    tx_p95: Rate | None


class TrafficDay(Struct):
    """Measured bytes of a day in the server's time zone, without corrections."""

    day: date
    rx: int
    tx: int


class TrafficDayPage(Struct):
    """Days with measurements, the oldest first."""

    items: list[TrafficDay]
    total: int


class TrafficCorrection(Struct):
    id: UUID
    month: Month
    rx: int
    tx: int
    reason: str
    author: str
    created_at: datetime


class Traffic(Struct):
    """Traffic of a server. The newest period is first."""

    settings: TrafficSettings
    months: list[TrafficMonth]
    corrections: list[TrafficCorrection]


class TrafficCorrectionCreate(Struct, forbid_unknown_fields=True):
    month: Month
    reason: Annotated[str, Meta(min_length=1, max_length=500, pattern=LINES)]
    rx: Correction = 0
    tx: Correction = 0
