import pytest

from services.kit.agents.presence import Status, judge


@pytest.mark.parametrize(
    ("enrolled", "connected_for", "sample_age", "interval", "status"),
    [
        (False, None, None, 2, Status.PENDING),
        (False, 5, 1, 2, Status.PENDING),
        (True, None, None, 2, Status.OFFLINE),
        (True, None, 1, 2, Status.OFFLINE),
        (True, 1, None, 2, Status.ONLINE),
        (True, 100, 1, 2, Status.ONLINE),
        (True, 100, 10, 2, Status.ONLINE),
        (True, 100, 11, 2, Status.STALE),
        (True, 100, None, 2, Status.STALE),
        (True, 5, 500, 2, Status.ONLINE),
        (True, 500, 100, 60, Status.ONLINE),
        (True, 500, 181, 60, Status.STALE),
    ],
)
def test_a_status_follows_from_connection_and_data(
    enrolled: bool,
    connected_for: float | None,
    sample_age: float | None,
    interval: float,
    status: Status,
) -> None:
    assert (
        judge(
            enrolled=enrolled,
            connected_for=connected_for,
            sample_age=sample_age,
            report_interval=interval,
        )
        is status
    )
