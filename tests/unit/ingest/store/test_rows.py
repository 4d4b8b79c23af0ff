from uuid import UUID

from flotilla.v1.metrics_pb2 import PerformanceSnapshot, PerformanceSnapshotBatch
from services.ingest.store import rows
from services.kit.metrics import fields as metric_fields

NOW = 1_790_000_000_000


def test_a_row_has_a_value_for_every_column() -> None:
    (row,) = rows.performance_rows(
        UUID(int=1),
        PerformanceSnapshotBatch(snapshots=[PerformanceSnapshot(time_unix_ms=NOW)]),
    )
    assert len(row) == len(rows.COLUMNS) == len(rows.TYPES)
    named = dict(zip(rows.COLUMNS, row, strict=True))
    assert named["time"] == metric_fields.measured_at(PerformanceSnapshot(time_unix_ms=NOW))
    assert named["clock_corrected"] is False
    assert {named[metric.name] for metric in metric_fields.METRICS} == {None}
    assert named["detail"] is None
