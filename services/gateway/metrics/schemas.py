"""Response bodies of metrics, custom series and data gaps."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from services.gateway.api.time_range import Granularity
from services.kit.metrics.fields import METRICS, Metric
from services.kit.metrics.tiers import GAUGES, SPIKY, Aggregate, column


class Series(Struct):
    """A custom series, measured by a collector of the server's owner."""

    id: int
    name: str
    labels: dict[str, str]
    last_time: Annotated[datetime | None, Meta(description="Time of the newest point")]
    last_value: float | None


class SeriesPage(Struct):
    items: list[Series]
    total: int


class SeriesHistory(Struct):
    """Columns of equal length. Buckets without data are left out."""

    granularity: Granularity
    time: list[str]
    value: Annotated[list[float], Meta(description="Average of each bucket")]
    min: list[float]
    max: list[float]


class MountHistory(Struct):
    """Used and total bytes per bucket; null while the file system was not mounted."""

    mount_point: str
    used: list[int | None]
    total: list[int | None]


class DiskHistory(Struct):
    """Columns of equal length, with the newest values of each bucket.

    Buckets without data are left out.
    """

    granularity: Granularity
    time: list[str]
    mounts: list[MountHistory]


class _History(Struct):
    """Columns of equal length: those of the selected metrics. Buckets without data are left out.

    Bytes, seconds and numbers of things are integers. A gauge has the average of its bucket, a total or
    a counter the maximum.

    In buckets shorter than a minute, `min`, `max` and `p95` (the 95th percentile) are computed from the
    samples. In longer buckets, `min` is the minimum of the averages per minute. `max` is the maximum of
    the samples, or of the averages per minute for metrics that change slowly. In buckets of 1 to 10
    minutes and of 2 hours, `p95` is computed from the averages per minute. In other buckets it is the
    95th percentile of the values of `p95` per 10 minutes (buckets of 30 minutes and 1 hour) or per 2
    hours (longer buckets).
    """

    granularity: Granularity
    time: list[str]


if TYPE_CHECKING:
    History = _History
else:

    def _column(metric: Metric) -> Any:
        return (list[int | None] if metric.integer else list[float | None]) | UnsetType

    # A column for each metric, and for each of its aggregates that the tiers keep.
    History = msgspec.defstruct(
        "History",
        [
            *((metric.name, _column(metric), UNSET) for metric in METRICS),
            *(
                (column(metric.name, aggregate), _column(metric), UNSET)
                for aggregate in Aggregate
                for metric in METRICS
                if metric.name in (SPIKY if aggregate is Aggregate.P95 else GAUGES)
            ),
        ],
        bases=(_History,),
        namespace={"__doc__": _History.__doc__},
        module=__name__,
    )


class Gap(Struct):
    """Measurements that the agent discarded. They never arrive. Times are from the agent's clock."""

    kind: Literal["performance", "docker", "generic"]
    reason: Annotated[
        Literal["space", "age", "memory", "refused", "damaged"],
        Meta(description="Reason why the agent discarded them"),
    ]
    count: Annotated[int, Meta(description="Number of measurements; 0 when it is unknown")]
    first_at: datetime
    last_at: datetime


class GapPage(Struct):
    items: list[Gap]
    total: int
