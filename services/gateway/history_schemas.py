"""What has a number of series over time that servers differ in."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from services.gateway.schemas import Granularity


class Series(Struct):
    """One that the server's owner has a collector for."""

    id: int
    name: str
    labels: dict[str, str]
    last_time: Annotated[datetime | None, Meta(description="Of its newest point")]
    last_value: float | None


class SeriesPage(Struct):
    items: list[Series]
    total: int


class SeriesHistory(Struct):
    """Columns of equal length; empty buckets are absent."""

    granularity: Granularity
    time: list[str]
    value: Annotated[list[float], Meta(description="Averages")]
    min: list[float]
    max: list[float]


class MountHistory(Struct):
    """Bytes; null while it was not mounted."""

    mount_point: str
    used: list[int | None]
    total: list[int | None]


class DiskHistory(Struct):
    """Columns of equal length; empty buckets are absent, others hold the newest of theirs."""

    granularity: Granularity
    time: list[str]
    mounts: list[MountHistory]
