"""Queries of the fleet's overview: a few statements for all servers. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from services.gateway.servers.visibility import VISIBLE, Visibility


@dataclass(frozen=True, slots=True)
class Period:
    """The current billing period of a server, with its settings and the sums of its corrections."""

    vps_id: UUID
    counted_direction: str
    time_zone: str
    allowance: int | None
    starts_at: datetime
    ends_at: datetime
    rx: int
    tx: int
    corrected_rx: int
    corrected_tx: int


async def servers(
    connection: AsyncConnection, *, visibility: Visibility, limit: int, offset: int
) -> tuple[list[UUID], int]:
    """Return a page of visible servers ordered by name, and their number."""
    parameters = {**visibility, "limit": limit, "offset": offset}
    source = f"FROM vps WHERE {VISIBLE}"
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(f"SELECT count(*) {source}", parameters)
        total: int = await cursor.fetchone() or 0
        await cursor.execute(
            f"SELECT id {source} ORDER BY name, id LIMIT %(limit)s OFFSET %(offset)s", parameters
        )
        return await cursor.fetchall(), total


async def cpu_by_minute(
    connection: AsyncConnection,
    *,
    vps_ids: Sequence[UUID],
    since: datetime,
    rolled_until: datetime,
) -> dict[UUID, dict[int, float]]:
    """Return the average CPU usage of each minute that has one, by server and minutes since `since`.

    Minutes that are not rolled up yet are made from samples.
    """
    cursor = await connection.execute(
        "SELECT v.id, array_agg(extract(epoch FROM m.time - %(since)s)::integer / 60),"
        " array_agg(m.cpu)"
        " FROM unnest(%(vps_ids)s::uuid[]) AS v (id)"
        " CROSS JOIN LATERAL ("
        "  SELECT time, cpu_usage AS cpu FROM performance_1m"
        "  WHERE vps_id = v.id AND time >= %(since)s AND time < %(rolled)s"
        "  UNION ALL"
        "  SELECT time_bucket('1 minute', time), avg(cpu_usage)::real FROM performance_metrics"
        "  WHERE vps_id = v.id AND time >= greatest(%(since)s, %(rolled)s) GROUP BY 1"
        " ) m WHERE m.cpu IS NOT NULL GROUP BY v.id",
        {"vps_ids": list(vps_ids), "since": since, "rolled": rolled_until},
    )
    return {
        vps_id: dict(zip(minutes, values, strict=True))
        for vps_id, minutes, values in await cursor.fetchall()
    }


async def current_periods(
    connection: AsyncConnection, *, vps_ids: Sequence[UUID]
) -> dict[UUID, Period]:
    """Return the period that contains the present of each server that has one."""
    async with connection.cursor(row_factory=class_row(Period)) as cursor:
        await cursor.execute(
            "SELECT t.vps_id, coalesce(s.counted, 'both') AS counted_direction,"
            " coalesce(s.time_zone, 'UTC') AS time_zone, s.allowance, t.starts_at, t.ends_at,"
            " greatest(counted.rx, 0) AS rx, greatest(counted.tx, 0) AS tx,"
            " coalesce(c.rx, 0)::bigint AS corrected_rx, coalesce(c.tx, 0)::bigint AS corrected_tx"
            " FROM vps_monthly_traffic t"
            " JOIN rollup_state rollup ON rollup.tier = 'traffic'"
            " LEFT JOIN traffic_settings s USING (vps_id)"
            " CROSS JOIN LATERAL traffic_counted(t.vps_id, t.month,"
            " least(t.ends_at, greatest(t.counted_until, rollup.rolled_until))) AS counted"
            " LEFT JOIN LATERAL (SELECT sum(rx) AS rx, sum(tx) AS tx FROM traffic_corrections"
            "  WHERE vps_id = t.vps_id AND month = t.month) c ON true"
            " WHERE t.vps_id = ANY(%(vps_ids)s) AND t.starts_at <= now() AND now() < t.ends_at",
            {"vps_ids": list(vps_ids)},
        )
        return {period.vps_id: period for period in await cursor.fetchall()}
