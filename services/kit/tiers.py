"""What is kept of the samples, how finely and in which columns.

The raw samples and three tiers of buckets. A gauge's column holds its average; beside it are,
with a suffix, its smallest, its largest and the 95th percentile. A total or a counter has one
column, its largest.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from services.kit.sample import METRICS


class Aggregate(StrEnum):
    MIN = "min"
    MAX = "max"
    P95 = "p95"


# What can leap within a minute.
SPIKY = (
    *("cpu_usage", "cpu_iowait", "cpu_steal", "load_1", "mem_usage"),
    *("disk_io_read", "disk_io_write", "disk_iops_read", "disk_iops_write", "net_rx", "net_tx"),
)
# What cannot, much: a minute's average stands for its extremes as well.
STEADY = (
    *("load_5", "load_15", "mem_used", "mem_cached", "swap_used", "disk_usage", "disk_used"),
    *("tcp_connections", "udp_connections", "processes", "temperature"),
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
    # What is rolled at a time: a server's rows of one step lie together on disk, and are read
    # together. Until then the finer tier answers.
    step: timedelta


@dataclass(frozen=True, slots=True)
class State:
    """A row of `rollup_state`."""

    rolled_until: datetime
    complete_from: datetime


RAW = "raw"
RAW_TABLE = "performance_metrics"
MINUTE = Tier("1m", "performance_1m", timedelta(minutes=1), timedelta(minutes=10))
TEN_MINUTES = Tier("10m", "performance_10m", timedelta(minutes=10), timedelta(hours=2))
TWO_HOURS = Tier("2h", "performance_2h", timedelta(hours=2), timedelta(hours=12))
# Made from the minutes, whose rows are there to make them again.
COARSE = (TEN_MINUTES, TWO_HOURS)
TIERS = (MINUTE, *COARSE)

# Five-minute facts of the traffic ledger; made from the samples.
TRAFFIC = Tier("traffic", "traffic_facts", timedelta(minutes=5), timedelta(minutes=30))


def has(tier: Tier | None, metric: str, aggregate: Aggregate) -> bool:
    """Whether `metric` has a column of its own for `aggregate`; None for the raw samples."""
    if tier is None:
        return False
    if aggregate is Aggregate.P95:
        return tier is not MINUTE and metric in SPIKY
    return metric in (SPIKY if tier is MINUTE else GAUGES)


def column(metric: str, aggregate: Aggregate) -> str:
    return f"{metric}_{aggregate}"


def floor(time: datetime, width: timedelta) -> datetime:
    """The start of the bucket that `time` is in; buckets are counted from the epoch."""
    return time - (time - EPOCH) % width


def tier_of(width: timedelta) -> Tier | None:
    """The coarsest tier that points of that width can be made from; None for the samples."""
    fitting = [tier for tier in TIERS if tier.width <= width]
    return fitting[-1] if fitting else None
