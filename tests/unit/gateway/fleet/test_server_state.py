from datetime import UTC, datetime, timedelta

import pytest

from flotilla.v1.metrics_pb2 import PerformanceSnapshot, ProcessStats, Temperature
from services.gateway.fleet.server_state import Server
from services.kit.access import Kind, Object
from services.kit.agents.presence import Status


def test_the_processes_of_one_sample_stay_for_a_minute() -> None:
    server = Server(Object(Kind.SERVER), enrolled=True, status=Status.ONLINE)
    start = int(datetime.now(UTC).timestamp() * 1000)

    def taken(seconds: int, *processes: ProcessStats) -> object:
        snapshot = PerformanceSnapshot(
            time_unix_ms=start + seconds * 1000,
            temperatures=[Temperature(sensor="s", celsius=40)],
            top_processes=processes,
        )
        assert server.take(snapshot, float(seconds))
        assert server.detail()["temperatures"] == [{"sensor": "s", "celsius": 40}]
        return server.detail().get("top_processes")

    assert taken(0) is None
    idle = ProcessStats(pid=7, name="idle", user="root", resident_bytes=100)
    busy = ProcessStats(pid=8, name="busy", cpu_usage_percent=151.26, resident_bytes=5)
    both = [
        {"pid": 8, "name": "busy", "user": "", "cpu_usage": 151.3, "memory": 5},
        {"pid": 7, "name": "idle", "user": "root", "cpu_usage": None, "memory": 100},
    ]
    assert taken(2, idle, busy) == both
    assert taken(4) == both
    assert taken(62) == both
    assert taken(63) is None
    assert taken(64, idle) == both[1:]


def test_a_restored_row_does_not_make_an_hour_the_report_interval() -> None:
    server = Server(Object(Kind.SERVER), enrolled=True, status=Status.OFFLINE)
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    server.restore({"time": hour_ago, "vps_id": "v", "detail": None}, 1000.0)
    assert server.sampled_at == pytest.approx(1000.0 - 3600, abs=5)
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    assert server.take(PerformanceSnapshot(time_unix_ms=now_ms), 1000.0)
    assert server.interval == 2.0
    assert server.take(PerformanceSnapshot(time_unix_ms=now_ms + 5000), 1005.0)
    assert server.interval == 5.0
    assert not server.take(PerformanceSnapshot(time_unix_ms=now_ms + 4000), 1006.0)
