"""SQL of data gaps: data that agents had to drop. Functions take the connection and never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from flotilla.v1.metrics_pb2 import DropReport

_UPSERT = """
INSERT INTO gaps AS known (vps_id, epoch, id, kind, reason, count, first_at, last_at)
SELECT %(vps_id)s, %(epoch)s, %(id)s, %(kind)s, %(reason)s, %(count)s, %(first_at)s, %(last_at)s
WHERE EXISTS (SELECT FROM vps WHERE id = %(vps_id)s)
ON CONFLICT (vps_id, epoch, id) DO UPDATE SET
    count = greatest(known.count, excluded.count),
    first_at = least(known.first_at, excluded.first_at),
    last_at = greatest(known.last_at, excluded.last_at)
"""
_REASONS = {
    DropReport.REASON_SPACE: "space",
    DropReport.REASON_AGE: "age",
    DropReport.REASON_MEMORY: "memory",
    DropReport.REASON_REFUSED: "refused",
    DropReport.REASON_DAMAGED: "damaged",
}
_KINDS = {
    DropReport.KIND_PERFORMANCE: "performance",
    DropReport.KIND_DOCKER: "docker",
    DropReport.KIND_GENERIC: "generic",
}


@dataclass(frozen=True, slots=True)
class Gap:
    vps_id: UUID
    epoch: str
    report: DropReport


async def upsert_gaps(connection: AsyncConnection, gaps: Sequence[Gap]) -> None:
    """Insert the gaps, or extend known ones; skip kinds and reasons that are not known here."""
    rows = [row for gap in gaps if (row := _row(gap)) is not None]
    if rows:
        rows.sort(key=lambda row: (row["vps_id"], row["epoch"], row["id"]))
        await connection.cursor().executemany(_UPSERT, rows)


def _row(gap: Gap) -> dict[str, Any] | None:
    report = gap.report
    reason, kind = _REASONS.get(report.reason), _KINDS.get(report.kind)
    if reason is None or kind is None:
        return None
    return {
        "vps_id": gap.vps_id,
        "epoch": gap.epoch,
        "id": report.id,
        "kind": kind,
        "reason": reason,
        "count": report.count,
        "first_at": datetime.fromtimestamp(report.first_unix_ms / 1000, UTC),
        "last_at": datetime.fromtimestamp(report.last_unix_ms / 1000, UTC),
    }
