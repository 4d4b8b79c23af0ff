from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from services.gateway.traffic.routes import count, month
from services.gateway.traffic.store import Correction, Period, Settings

START = datetime(2026, 3, 1, tzinfo=UTC)


def period(**values: object) -> Period:
    fields: dict[str, object] = {
        "month": START.date(),
        "starts_at": START,
        "ends_at": START + timedelta(days=31),
        "counted_until": START + timedelta(days=10),
        "total_rx": 700,
        "total_tx": 500,
        "covered_seconds": timedelta(days=5).total_seconds(),
        "rx_p95": None,
        "tx_p95": None,
    }
    return Period(**{**fields, **values})  # type: ignore[arg-type]


def correction(of: date, *, rx: int = 0, tx: int = 0) -> Correction:
    return Correction(UUID(int=1), of, rx, tx, "the provider's bill", "ana", START)


@pytest.mark.parametrize(
    ("direction", "counted"), [("in", 7), ("out", 5), ("both", 12), ("max", 7)]
)
def test_traffic_counts_as_the_vendor_does(direction: str, counted: int) -> None:
    assert count(direction, 7, 5) == counted
    assert count(direction, -1, -1) == 0


def test_the_corrections_of_a_period_are_added_to_what_was_measured() -> None:
    corrections = [
        correction(START.date(), rx=100),
        correction(START.date(), rx=-50, tx=-500),
        correction(date(2026, 2, 1), rx=9999),
    ]
    shown = month(period(), Settings(counted="both"), corrections)
    assert (shown.total_rx, shown.total_tx) == (700, 500)
    assert (shown.corrected_rx, shown.corrected_tx) == (50, -500)
    assert shown.counted == 750


def test_a_correction_cannot_make_a_period_negative() -> None:
    shown = month(period(), Settings(counted="both"), [correction(START.date(), rx=-1000)])
    assert shown.counted == 500


def test_the_share_of_the_allowance_is_in_per_cent() -> None:
    assert month(period(), Settings(counted="in", allowance=2100), []).allowance_used == 33.33
    assert month(period(), Settings(counted="in", allowance=350), []).allowance_used == 200
    assert month(period(), Settings(), []).allowance_used is None


def test_coverage_is_the_share_of_the_elapsed_time_that_has_data() -> None:
    assert month(period(), Settings(), []).coverage == 50
    more = period(covered_seconds=timedelta(days=10, minutes=5).total_seconds())
    assert month(more, Settings(), []).coverage == 100
    assert month(period(counted_until=START, covered_seconds=0.0), Settings(), []).coverage is None


def test_a_period_is_named_after_the_month_it_starts_in() -> None:
    assert month(period(month=date(2025, 12, 1)), Settings(), []).month == "2025-12"
