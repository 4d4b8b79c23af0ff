from flotilla.v1.metrics_pb2 import DiskUsage, OmittedItem, PerformanceSnapshot
from services.kit.metrics import fields as metric_fields


def test_an_absent_value_stays_absent_and_zero_stays_zero() -> None:
    values = metric_fields.values(PerformanceSnapshot(cpu_usage_percent=0.0, swap_total_bytes=0))
    assert values["cpu_usage"] == 0.0
    assert values["swap_total"] == 0
    assert values["load_1"] is None
    assert values["mem_usage"] is None
    assert values["temperature"] is None
    assert metric_fields.detail(PerformanceSnapshot()) == {}


def test_the_fullest_file_system_and_the_hottest_sensor_represent_the_server() -> None:
    snapshot = PerformanceSnapshot(
        disks=[
            DiskUsage(mount_point="/", total_bytes=100, used_bytes=10),
            DiskUsage(mount_point="/data", total_bytes=50, used_bytes=45),
            DiskUsage(mount_point="/empty"),
        ]
    )
    for celsius in (40.0, 71.26, 12.0):
        snapshot.temperatures.add(sensor="s", celsius=celsius)
    values = metric_fields.values(snapshot)
    assert (values["disk_usage"], values["disk_used"], values["disk_total"]) == (90.0, 55, 150)
    assert values["temperature"] == 71.3


def test_a_core_without_a_value_keeps_its_position_and_is_null() -> None:
    snapshot = PerformanceSnapshot(
        cpu_core_usage_percent=[1.26, 0, 100], cpu_cores_without_value=[1]
    )

    stored = metric_fields.pack_detail(snapshot)

    assert metric_fields.unpack_detail(stored) == {"cpu_cores": [1.3, None, 100.0]}


def test_what_was_left_out_is_stored_with_its_reason() -> None:
    snapshot = PerformanceSnapshot()
    snapshot.omitted.add(
        collector="disk",
        item="/data",
        reason=OmittedItem.REASON_UNREADABLE,
        detail="Permission denied",
    )

    stored = metric_fields.pack_detail(snapshot)

    assert metric_fields.unpack_detail(stored) == {
        "omitted": [
            {
                "collector": "disk",
                "item": "/data",
                "reason": "unreadable",
                "detail": "Permission denied",
            }
        ]
    }
