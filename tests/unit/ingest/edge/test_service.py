from services.ingest.edge.errors import STATUS, Reason


def test_every_reason_has_a_status() -> None:
    assert set(STATUS) == set(Reason)
