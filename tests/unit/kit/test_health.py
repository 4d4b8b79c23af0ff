from services.kit.health import Health, report


def test_a_service_is_ready_when_it_has_checks_and_all_pass() -> None:
    health = Health("writer")
    assert not report([health])[0], "it has not started"
    health.checks["bus"] = lambda: (True, "connected")
    assert report([health])[0]
    health.checks["database"] = lambda: (False, "is away")
    assert not report([health])[0]
