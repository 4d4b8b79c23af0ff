from datetime import UTC, datetime, timedelta

from services.kit.metrics.fields import METRICS
from services.kit.metrics.tiers import (
    COUNTERS,
    EPOCH,
    GAUGES,
    MINUTE,
    TEN_MINUTES,
    TOTALS,
    TWO_HOURS,
    floor,
    tier_of,
)

NOW = datetime(2026, 3, 29, 1, 23, 45, 678_901, tzinfo=UTC)


def test_every_metric_is_a_gauge_a_total_or_a_counter() -> None:
    assert sorted((*GAUGES, *TOTALS, *COUNTERS)) == sorted(metric.name for metric in METRICS)


def test_buckets_are_counted_from_the_epoch() -> None:
    assert floor(NOW, TWO_HOURS.width) == datetime(2026, 3, 29, 0, tzinfo=UTC)
    assert floor(NOW, MINUTE.width) == datetime(2026, 3, 29, 1, 23, tzinfo=UTC)
    assert floor(EPOCH - timedelta(seconds=1), MINUTE.width) == EPOCH - timedelta(minutes=1)
    tiers = [tier_of(timedelta(seconds=seconds)) for seconds in (1, 59, 60, 599, 600, 7200, 1e6)]
    assert tiers == [None, None, MINUTE, MINUTE, TEN_MINUTES, TWO_HOURS, TWO_HOURS]
