"""Database rows from a batch of performance samples."""

from collections.abc import Iterator
from uuid import UUID

from flotilla.v1.metrics_pb2 import PerformanceSnapshotBatch
from services.kit.metrics import fields as metric_fields

COLUMNS = (
    "time",
    "vps_id",
    *(metric.name for metric in metric_fields.METRICS),
    "clock_corrected",
    "detail",
)
TYPES = {
    **dict.fromkeys((metric.name for metric in metric_fields.METRICS), "float4"),
    **dict.fromkeys(
        (
            "mem_used",
            "mem_total",
            "mem_cached",
            "swap_used",
            "swap_total",
            "disk_used",
            "disk_total",
            "net_rx_total",
            "net_tx_total",
            "uptime",
        ),
        "int8",
    ),
    **dict.fromkeys(("tcp_connections", "udp_connections", "processes"), "int4"),
    "time": "timestamptz",
    "vps_id": "uuid",
    "clock_corrected": "bool",
    "detail": "bytea",
}

Row = tuple[object, ...]


def performance_rows(vps_id: UUID, batch: PerformanceSnapshotBatch) -> Iterator[Row]:
    """Yield one row per snapshot, in the order of `COLUMNS`."""
    for snapshot in batch.snapshots:
        yield (
            metric_fields.measured_at(snapshot),
            vps_id,
            *metric_fields.values(snapshot).values(),
            snapshot.clock_corrected,
            metric_fields.pack_detail(snapshot),
        )
