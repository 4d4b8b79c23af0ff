from datetime import UTC, datetime, timedelta
from uuid import uuid4

from services.ingest.rollup import split
from services.kit.metrics.tiers import EPOCH, MINUTE, RAW, TIERS, TierState, floor

NOW = datetime(2026, 3, 29, 1, 23, 45, 678_901, tzinfo=UTC)


def states(**complete_from: datetime) -> dict[str, TierState]:
    rolled = floor(NOW, MINUTE.width)
    return {
        name: TierState(floor(rolled, width), complete_from.get(f"at_{name}", EPOCH))
        for name, width in [(RAW, MINUTE.width), *((tier.name, tier.width) for tier in TIERS)]
    }


def test_late_minutes_are_remade_where_samples_are_and_merged_where_minutes_are() -> None:
    vps_id = uuid4()
    day = floor(NOW, timedelta(days=1))
    kept = states(at_raw=day - timedelta(days=2), at_1m=day - timedelta(days=30))
    whole = [(vps_id, day - timedelta(days=2)), (vps_id, day)]
    parts = [(vps_id, day - timedelta(days=2, minutes=1)), (vps_id, day - timedelta(days=30))]
    lost = [(vps_id, day - timedelta(days=30, minutes=1))]
    assert split([*whole, *parts, *lost], kept) == (whole, parts)
