"""The traffic ledger. Functions never commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row


@dataclass(frozen=True, slots=True)
class Settings:
    reset_day: int = 1
    time_zone: str = "UTC"
    counted: str = "both"
    allowance: int | None = None


@dataclass(frozen=True, slots=True)
class Period:
    month: date
    starts_at: datetime
    ends_at: datetime
    counted_until: datetime
    total_rx: int
    total_tx: int
    covered_seconds: float
    rx_p95: float | None
    tx_p95: float | None


@dataclass(frozen=True, slots=True)
class Correction:
    id: UUID
    month: date
    rx: int
    tx: int
    reason: str
    author: str
    created_at: datetime


async def settings(connection: AsyncConnection, *, vps_id: UUID) -> Settings:
    async with connection.cursor(row_factory=class_row(Settings)) as cursor:
        await cursor.execute(
            "SELECT reset_day, time_zone, counted, allowance FROM traffic_settings"
            " WHERE vps_id = %s",
            [vps_id],
        )
        return await cursor.fetchone() or Settings()


async def knows_zone(connection: AsyncConnection, *, name: str) -> bool:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = %s)", [name]
        )
        return bool(await cursor.fetchone())


async def put_settings(connection: AsyncConnection, *, vps_id: UUID, wanted: Settings) -> None:
    await connection.execute(
        "INSERT INTO traffic_settings (vps_id, reset_day, time_zone, counted, allowance)"
        " VALUES (%(vps_id)s, %(reset_day)s, %(time_zone)s, %(counted)s, %(allowance)s)"
        " ON CONFLICT (vps_id) DO UPDATE SET reset_day = excluded.reset_day,"
        " time_zone = excluded.time_zone, counted = excluded.counted,"
        " allowance = excluded.allowance",
        {
            "vps_id": vps_id,
            "reset_day": wanted.reset_day,
            "time_zone": wanted.time_zone,
            "counted": wanted.counted,
            "allowance": wanted.allowance,
        },
    )


async def divide_anew(connection: AsyncConnection, *, vps_id: UUID) -> None:
    """Periods by the server's settings, of all time that facts are kept of; they start uncounted."""
    await connection.execute(
        "DELETE FROM vps_monthly_traffic WHERE vps_id = %(vps_id)s AND starts_at >="
        " (SELECT complete_from FROM rollup_state WHERE tier = 'traffic')",
        {"vps_id": vps_id},
    )
    await _end_last(connection, vps_id=vps_id)
    await connection.execute(
        "INSERT INTO vps_monthly_traffic (vps_id, month, starts_at, ends_at, counted_until)"
        " SELECT DISTINCT s.vps_id, p.month, b.starts_at, p.ends_at, b.starts_at"
        " FROM traffic_settings s CROSS JOIN LATERAL ("
        "SELECT min(time) AS first, max(time) AS last FROM traffic_facts f"
        " WHERE f.vps_id = s.vps_id) f"
        " CROSS JOIN LATERAL (SELECT max(ends_at) AS ends_at FROM vps_monthly_traffic t"
        " WHERE t.vps_id = s.vps_id) k"
        # No period is shorter than the steps.
        " CROSS JOIN LATERAL generate_series("
        "f.first, f.last + interval '27 days', interval '27 days') AS g"
        " CROSS JOIN LATERAL traffic_period(least(g, f.last), s.reset_day, s.time_zone) AS p"
        " CROSS JOIN LATERAL (SELECT greatest(p.starts_at, k.ends_at) AS starts_at) b"
        " WHERE s.vps_id = %(vps_id)s AND b.starts_at < p.ends_at"
        " ON CONFLICT (vps_id, month) DO NOTHING",
        {"vps_id": vps_id},
    )
    cursor = await connection.execute(
        "SELECT DISTINCT month FROM traffic_corrections WHERE vps_id = %s", [vps_id]
    )
    corrected = [month for (month,) in await cursor.fetchall()]
    await _open(connection, vps_id=vps_id, months=corrected)


async def _end_last(connection: AsyncConnection, *, vps_id: UUID) -> None:
    """Let the last of the periods that stay end where the first of the new ones starts.

    It stays as its first facts are gone; the last ones are there, to be added or taken off. The
    new one is of a later month, the other half of the key.
    """
    await connection.execute(
        "UPDATE vps_monthly_traffic t SET ends_at = n.ends_at,"
        " counted_until = least(t.counted_until, n.ends_at),"
        " total_rx = t.total_rx - n.rx, total_tx = t.total_tx - n.tx,"
        " covered_seconds = greatest(t.covered_seconds - n.covered, 0),"
        " rx_p95 = NULL, tx_p95 = NULL"
        " FROM (SELECT * FROM vps_monthly_traffic WHERE vps_id = %(vps_id)s"
        " ORDER BY starts_at DESC LIMIT 1) k JOIN traffic_settings s USING (vps_id)"
        " JOIN rollup_state r ON r.tier = 'traffic'"
        " CROSS JOIN LATERAL traffic_period(CASE WHEN k.ends_at > r.complete_from"
        " THEN r.complete_from ELSE (SELECT min(time) FROM traffic_facts f"
        " WHERE f.vps_id = k.vps_id) END, s.reset_day, s.time_zone) AS p"
        " CROSS JOIN LATERAL (SELECT traffic_reset("
        "greatest(p.month, k.month) + interval '1 month', s.reset_day, s.time_zone) AS ends_at) e"
        " CROSS JOIN LATERAL (SELECT e.ends_at, traffic_bounded(coalesce(sum("
        "f.rx::numeric + f.step_rx), 0)) AS rx,"
        " traffic_bounded(coalesce(sum(f.tx::numeric + f.step_tx), 0)) AS tx,"
        " coalesce(sum(extract(epoch FROM f.last_at - f.first_at + least("
        "f.first_at - coalesce(f.since_at, f.first_at), interval '5 minutes'))), 0)::float8"
        " AS covered FROM traffic_facts f WHERE f.vps_id = k.vps_id"
        " AND f.time >= e.ends_at AND f.time < k.counted_until) n"
        " WHERE t.vps_id = k.vps_id AND t.month = k.month"
        " AND (k.ends_at > r.complete_from OR p.month <= k.month)",
        {"vps_id": vps_id},
    )


async def _open(connection: AsyncConnection, *, vps_id: UUID, months: Sequence[date]) -> None:
    """Have those periods, measured or not; what their neighbours cover is not theirs."""
    await connection.execute(
        "INSERT INTO vps_monthly_traffic (vps_id, month, starts_at, ends_at, counted_until)"
        " SELECT v.id, m.month, b.starts_at, greatest(b.starts_at, least(t.ends_at, k.after)),"
        " b.starts_at FROM vps v LEFT JOIN traffic_settings s ON s.vps_id = v.id"
        " CROSS JOIN unnest(%(months)s::date[]) AS m (month)"
        " CROSS JOIN LATERAL (SELECT coalesce(s.reset_day, 1) AS day,"
        " coalesce(s.time_zone, 'UTC') AS zone) d CROSS JOIN LATERAL (SELECT"
        " traffic_reset(m.month, d.day, d.zone) AS starts_at,"
        " traffic_reset(m.month + interval '1 month', d.day, d.zone) AS ends_at) t"
        " CROSS JOIN LATERAL (SELECT max(ends_at) FILTER (WHERE month < m.month) AS before,"
        " min(starts_at) FILTER (WHERE month > m.month) AS after"
        " FROM vps_monthly_traffic WHERE vps_id = v.id) k"
        " CROSS JOIN LATERAL (SELECT greatest(t.starts_at, k.before) AS starts_at) b"
        " WHERE v.id = %(vps_id)s ON CONFLICT (vps_id, month) DO NOTHING",
        {"vps_id": vps_id, "months": list(months)},
    )


async def periods(connection: AsyncConnection, *, vps_id: UUID, limit: int) -> list[Period]:
    """Newest first, with all that is known of them by now."""
    p95 = (
        "CASE WHEN t.outdated OR t.{0} IS NULL THEN"
        " (SELECT q.{1} FROM traffic_p95(t.vps_id, t.starts_at, t.ends_at) q) ELSE t.{0} END AS {0}"
    )
    async with connection.cursor(row_factory=class_row(Period)) as cursor:
        await cursor.execute(
            "SELECT t.month, t.starts_at, t.ends_at, c.until AS counted_until,"
            # Readings whose clock was set back may yet lack those that make up for them.
            " greatest(c.rx, 0) AS total_rx, greatest(c.tx, 0) AS total_tx,"
            " c.covered AS covered_seconds,"
            f" {p95.format('rx_p95', 'rx')}, {p95.format('tx_p95', 'tx')}"
            " FROM vps_monthly_traffic t JOIN rollup_state r ON r.tier = 'traffic'"
            " CROSS JOIN LATERAL traffic_counted(t.vps_id, t.month,"
            " least(t.ends_at, greatest(t.counted_until, r.rolled_until))) AS c"
            " WHERE t.vps_id = %(vps_id)s ORDER BY t.starts_at DESC LIMIT %(limit)s",
            {"vps_id": vps_id, "limit": limit},
        )
        return await cursor.fetchall()


async def corrections(
    connection: AsyncConnection, *, vps_id: UUID, months: Sequence[date]
) -> list[Correction]:
    """Oldest first."""
    async with connection.cursor(row_factory=class_row(Correction)) as cursor:
        await cursor.execute(
            "SELECT id, month, rx, tx, reason, author, created_at FROM traffic_corrections"
            " WHERE vps_id = %(vps_id)s AND month = ANY (%(months)s) ORDER BY created_at, id",
            {"vps_id": vps_id, "months": list(months)},
        )
        return await cursor.fetchall()


async def correct(
    connection: AsyncConnection,
    *,
    vps_id: UUID,
    month: date,
    rx: int,
    tx: int,
    reason: str,
    author_id: UUID,
    author: str,
) -> Correction:
    """An entry by hand; the period need not have been measured."""
    await _open(connection, vps_id=vps_id, months=[month])
    async with connection.cursor(row_factory=class_row(Correction)) as cursor:
        await cursor.execute(
            "INSERT INTO traffic_corrections (vps_id, month, rx, tx, reason, author_id, author)"
            " VALUES (%(vps_id)s, %(month)s, %(rx)s, %(tx)s, %(reason)s, %(author_id)s, %(author)s)"
            " RETURNING id, month, rx, tx, reason, author, created_at",
            {
                "vps_id": vps_id,
                "month": month,
                "rx": rx,
                "tx": tx,
                "reason": reason,
                "author_id": author_id,
                "author": author,
            },
        )
        entry = await cursor.fetchone()
        assert entry is not None
        return entry
