"""The traffic ledger over HTTP."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

MAX_BYTES = 1 << 60

Month = Annotated[str, Meta(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", description="Such as 2026-03")]
Correction = Annotated[
    int, Meta(ge=-MAX_BYTES, le=MAX_BYTES, description="Bytes, less than 0 to take off")
]
Percent = Annotated[float, Meta(description="Per cent")]
Rate = Annotated[float, Meta(description="Bytes per second")]


class TrafficSettings(Struct, forbid_unknown_fields=True):
    reset_day: Annotated[
        int, Meta(ge=1, le=31, description="A month without that day resets on its last")
    ] = 1
    time_zone: Annotated[str, Meta(min_length=1, max_length=64, description="IANA's name")] = "UTC"
    counted: Annotated[
        Literal["out", "in", "both", "max"], Meta(description="`max`: the greater of in and out")
    ] = "both"
    allowance: Annotated[int, Meta(ge=1, le=MAX_BYTES, description="Bytes a period")] | None = None


class TrafficMonth(Struct):
    """A period, named after the month it starts in."""

    month: Month
    starts_at: datetime
    ends_at: datetime
    counted_until: datetime
    total_rx: Annotated[int, Meta(description="Bytes, measured")]
    total_tx: Annotated[int, Meta(description="Bytes, measured")]
    corrected_rx: Annotated[int, Meta(description="Bytes, the sum of corrections")]
    corrected_tx: Annotated[int, Meta(description="Bytes, the sum of corrections")]
    counted: Annotated[int, Meta(description="Bytes that count, corrections included")]
    allowance_used: Percent | None
    coverage: Annotated[Percent | None, Meta(description="Share of the time so far that has data")]
    rx_p95: Rate | None
    tx_p95: Rate | None


class TrafficCorrection(Struct):
    id: UUID
    month: Month
    rx: int
    tx: int
    reason: str
    author: str
    created_at: datetime


class Traffic(Struct):
    """Newest period first."""

    settings: TrafficSettings
    months: list[TrafficMonth]
    corrections: list[TrafficCorrection]


class TrafficCorrectionCreate(Struct, forbid_unknown_fields=True):
    month: Month
    reason: Annotated[
        str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]+$")
    ]
    rx: Correction = 0
    tx: Correction = 0
