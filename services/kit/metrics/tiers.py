"""The tiers in which samples are kept: their resolution and columns.

Besides the raw samples there are three tiers of buckets. A gauge has a column with its average and a
column with a suffix for its maximum. In the coarser tiers it also has columns for the minimum and the
95th percentile of its averages per minute. A total or a counter has one column, with its maximum.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from services.kit.metrics.fields import METRICS


class Aggregate(StrEnum):
    MIN = "min"
    MAX = "max"
    P95 = "p95"


# Gauges that can change much within a minute.
SPIKY = (
    "cpu_usage",
    "cpu_iowait",
    "cpu_steal",
    "load_1",
    "mem_usage",
    "disk_io_read",
    "disk_io_write",
    "disk_iops_read",
    "disk_iops_write",
    "net_rx",
    "net_tx",
)
# Gauges that change little within a minute. Their average of a minute is also used as its maximum.
STEADY = (
    "load_5",
    "load_15",
    "mem_used",
    "mem_cached",
    "swap_used",
    "disk_usage",
    "disk_used",
    "tcp_connections",
    "udp_connections",
    "processes",
    "temperature",
)
GAUGES = tuple(metric.name for metric in METRICS if metric.name in {*SPIKY, *STEADY})
TOTALS = ("mem_total", "swap_total", "disk_total")
COUNTERS = tuple(metric.name for metric in METRICS if metric.counter)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Tier:
    name: str
    table: str
    width: timedelta
    # Time span that is rolled up at once. A server's rows of one step are stored together on disk
    # and read together. Until a step is rolled up, queries read the finer tier.
    step: timedelta


@dataclass(frozen=True, slots=True)
class TierState:
    """Progress of a tier: a row of `rollup_state`."""

    rolled_until: datetime
    complete_from: datetime


RAW = "raw"
RAW_TABLE = "performance_metrics"
MINUTE = Tier("1m", "performance_1m", timedelta(minutes=1), timedelta(minutes=10))
TEN_MINUTES = Tier("10m", "performance_10m", timedelta(minutes=10), timedelta(hours=2))
TWO_HOURS = Tier("2h", "performance_2h", timedelta(hours=2), timedelta(hours=12))
# Computed from the minutes. They can be rebuilt while the minutes are kept.
COARSE = (TEN_MINUTES, TWO_HOURS)
TIERS = (MINUTE, *COARSE)

# Traffic records of five minutes, computed from the samples.
TRAFFIC = Tier("traffic", "traffic_facts", timedelta(minutes=5), timedelta(minutes=30))


def has(tier: Tier | None, metric: str, aggregate: Aggregate) -> bool:
    """Return True if `metric` has a column for `aggregate`. `tier` is None for the raw samples."""
    if tier is None:
        return False
    if tier is MINUTE:
        # A minute keeps its peaks. Its lowest sample is of little use, and 11 columns take 44 bytes.
        return aggregate is Aggregate.MAX and metric in SPIKY
    return metric in (SPIKY if aggregate is Aggregate.P95 else GAUGES)


def column(metric: str, aggregate: Aggregate) -> str:
    return f"{metric}_{aggregate}"


def floor(time: datetime, width: timedelta) -> datetime:
    """Return the start of the bucket that contains `time`; buckets are counted from the epoch."""
    return time - (time - EPOCH) % width


def tier_of(width: timedelta) -> Tier | None:
    """Return the coarsest tier from which points of this width can be made; None for the samples."""
    fitting = [tier for tier in TIERS if tier.width <= width]
    return fitting[-1] if fitting else None
