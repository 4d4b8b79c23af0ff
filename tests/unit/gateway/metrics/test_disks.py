from flotilla.v1.metrics_pb2 import DiskUsage, PerformanceSnapshot
from services.gateway.metrics.disks import decode
from services.gateway.metrics.schemas import MountHistory


def detail(**used: int) -> bytes:
    disks = [
        DiskUsage(mount_point=f"/{name}", used_bytes=size, total_bytes=100)
        for name, size in used.items()
    ]
    return PerformanceSnapshot(disks=disks).SerializeToString()


def test_each_mount_has_a_value_per_bucket_and_null_while_it_was_not_mounted() -> None:
    assert decode([detail(home=1), detail(home=2, backup=3), detail(backup=4)]) == [
        MountHistory("/backup", used=[None, 3, 4], total=[None, 100, 100]),
        MountHistory("/home", used=[1, 2, None], total=[100, 100, None]),
    ]
    assert decode([]) == []
