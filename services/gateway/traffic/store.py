"""Billing periods of traffic, their settings and corrections. Functions never commit.

The rollup service counts traffic records into periods; these functions read them, and divide
them into other periods when a server's settings change.
"""

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
    """A billing period: measured bytes, and 95th percentiles in bytes per second."""

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
class Day:
    """Measured bytes of a day in the server's time zone."""

    day: date
    rx: int
    tx: int


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


async def is_time_zone(connection: AsyncConnection, *, name: str) -> bool:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = %s)", [name]
        )
        return bool(await cursor.fetchone())


async def save_settings(connection: AsyncConnection, *, vps_id: UUID, settings: Settings) -> None:
    await connection.execute(
        "INSERT INTO traffic_settings (vps_id, reset_day, time_zone, counted, allowance)"
        " VALUES (%(vps_id)s, %(reset_day)s, %(time_zone)s, %(counted)s, %(allowance)s)"
        " ON CONFLICT (vps_id) DO UPDATE SET reset_day = excluded.reset_day,"
        " time_zone = excluded.time_zone, counted = excluded.counted,"
        " allowance = excluded.allowance",
        {
            "vps_id": vps_id,
            "reset_day": settings.reset_day,
            "time_zone": settings.time_zone,
            "counted": settings.counted,
            "allowance": settings.allowance,
        },
    )


async def rebuild_periods(connection: AsyncConnection, *, vps_id: UUID) -> None:
    """Divide the time that has traffic records into periods by the server's settings.

    Older periods stay as they are. The new periods are not counted yet: the rollup counts them.
    """
    await connection.execute(
        "DELETE FROM vps_monthly_traffic WHERE vps_id = %(vps_id)s AND starts_at >="
        " (SELECT complete_from FROM rollup_state WHERE tier = 'traffic')",
        {"vps_id": vps_id},
    )
    await _shorten_last_period(connection, vps_id=vps_id)
    await connection.execute(
        """
        INSERT INTO vps_monthly_traffic (vps_id, month, starts_at, ends_at, counted_until)
        SELECT DISTINCT settings.vps_id, period.month, free.starts_at, period.ends_at,
            free.starts_at
        FROM traffic_settings settings
        CROSS JOIN LATERAL (
            SELECT min(time) AS first, max(time) AS last
            FROM traffic_facts WHERE vps_id = settings.vps_id
        ) records
        CROSS JOIN LATERAL (
            SELECT max(ends_at) AS ends_at
            FROM vps_monthly_traffic WHERE vps_id = settings.vps_id
        ) older
        -- No period is shorter than 27 days, so that the steps leave out none.
        CROSS JOIN LATERAL generate_series(
            records.first, records.last + interval '27 days', interval '27 days'
        ) AS step
        CROSS JOIN LATERAL traffic_period(
            least(step, records.last), settings.reset_day, settings.time_zone
        ) AS period
        -- The first new period starts where the last older one ends.
        CROSS JOIN LATERAL (
            SELECT greatest(period.starts_at, older.ends_at) AS starts_at
        ) free
        WHERE settings.vps_id = %(vps_id)s AND free.starts_at < period.ends_at
        ON CONFLICT (vps_id, month) DO NOTHING
        """,
        {"vps_id": vps_id},
    )
    cursor = await connection.execute(
        "SELECT DISTINCT month FROM traffic_corrections WHERE vps_id = %s", [vps_id]
    )
    corrected = [month for (month,) in await cursor.fetchall()]
    await _ensure_periods(connection, vps_id=vps_id, months=corrected)


async def _shorten_last_period(connection: AsyncConnection, *, vps_id: UUID) -> None:
    """End the last of the older periods where the first of the new periods starts.

    The older period stays because its first traffic records are already deleted. Its last records still
    exist. The records after its new end are subtracted from its totals and counted in the new period.
    The new period belongs to a later month, because the month is part of the primary key.
    """
    await connection.execute(
        """
        UPDATE vps_monthly_traffic t SET
            ends_at = moved.ends_at,
            counted_until = least(t.counted_until, moved.ends_at),
            total_rx = t.total_rx - moved.rx,
            total_tx = t.total_tx - moved.tx,
            covered_seconds = greatest(t.covered_seconds - moved.covered, 0),
            -- Computed again from the records that are left.
            rx_p95 = NULL,
            tx_p95 = NULL
        FROM (
            SELECT * FROM vps_monthly_traffic WHERE vps_id = %(vps_id)s
            ORDER BY starts_at DESC LIMIT 1
        ) last
        JOIN traffic_settings settings USING (vps_id)
        JOIN rollup_state rollup ON rollup.tier = 'traffic'
        -- The period, by the new settings, of the first records that can be counted again.
        CROSS JOIN LATERAL traffic_period(
            CASE WHEN last.ends_at > rollup.complete_from THEN rollup.complete_from
                ELSE (SELECT min(time) FROM traffic_facts WHERE vps_id = last.vps_id) END,
            settings.reset_day, settings.time_zone
        ) AS first
        -- The new end is the first reset after both months.
        CROSS JOIN LATERAL (
            SELECT traffic_reset(
                greatest(first.month, last.month) + interval '1 month',
                settings.reset_day, settings.time_zone
            ) AS ends_at
        ) reset
        -- The records after the new end that the last period has counted. A gap in the readings
        -- counts as covered for five minutes, as in traffic_counted().
        CROSS JOIN LATERAL (
            SELECT reset.ends_at,
                traffic_bounded(coalesce(sum(record.rx::numeric + record.step_rx), 0)) AS rx,
                traffic_bounded(coalesce(sum(record.tx::numeric + record.step_tx), 0)) AS tx,
                coalesce(sum(extract(epoch FROM record.last_at - record.first_at + least(
                    record.first_at - coalesce(record.since_at, record.first_at),
                    interval '5 minutes'
                ))), 0)::float8 AS covered
            FROM traffic_facts record
            WHERE record.vps_id = last.vps_id
                AND record.time >= reset.ends_at AND record.time < last.counted_until
        ) moved
        WHERE t.vps_id = last.vps_id AND t.month = last.month
            -- Else the last period ended before the records start, and keeps its end.
            AND (last.ends_at > rollup.complete_from OR first.month <= last.month)
        """,
        {"vps_id": vps_id},
    )


async def _ensure_periods(
    connection: AsyncConnection, *, vps_id: UUID, months: Sequence[date]
) -> None:
    """Ensure that the periods of `months` exist, without the time that other periods cover."""
    await connection.execute(
        """
        INSERT INTO vps_monthly_traffic (vps_id, month, starts_at, ends_at, counted_until)
        SELECT vps.id, wanted.month, free.starts_at,
            greatest(free.starts_at, least(nominal.ends_at, neighbours.after)), free.starts_at
        FROM vps
        LEFT JOIN traffic_settings saved ON saved.vps_id = vps.id
        CROSS JOIN unnest(%(months)s::date[]) AS wanted (month)
        CROSS JOIN LATERAL (
            SELECT coalesce(saved.reset_day, 1) AS reset_day,
                coalesce(saved.time_zone, 'UTC') AS time_zone
        ) settings
        CROSS JOIN LATERAL (
            SELECT
                traffic_reset(
                    wanted.month, settings.reset_day, settings.time_zone
                ) AS starts_at,
                traffic_reset(
                    wanted.month + interval '1 month', settings.reset_day, settings.time_zone
                ) AS ends_at
        ) nominal
        CROSS JOIN LATERAL (
            SELECT max(ends_at) FILTER (WHERE month < wanted.month) AS before,
                min(starts_at) FILTER (WHERE month > wanted.month) AS after
            FROM vps_monthly_traffic WHERE vps_id = vps.id
        ) neighbours
        CROSS JOIN LATERAL (
            SELECT greatest(nominal.starts_at, neighbours.before) AS starts_at
        ) free
        WHERE vps.id = %(vps_id)s
        ON CONFLICT (vps_id, month) DO NOTHING
        """,
        {"vps_id": vps_id, "months": list(months)},
    )


async def periods(connection: AsyncConnection, *, vps_id: UUID, limit: int) -> list[Period]:
    """Return periods, the newest first, with the records that the rollup has not counted yet."""
    p95 = (
        "CASE WHEN t.outdated OR t.{0} IS NULL"
        " THEN (SELECT p95.{1} FROM traffic_p95(t.vps_id, t.starts_at, t.ends_at) p95)"
        " ELSE t.{0} END AS {0}"
    )
    async with connection.cursor(row_factory=class_row(Period)) as cursor:
        await cursor.execute(
            "SELECT t.month, t.starts_at, t.ends_at, counted.until AS counted_until,"
            # A sum can be negative for a while: after a clock was set back, the later readings that
            # compensate for it may still be missing.
            " greatest(counted.rx, 0) AS total_rx, greatest(counted.tx, 0) AS total_tx,"
            " counted.covered AS covered_seconds,"
            f" {p95.format('rx_p95', 'rx')}, {p95.format('tx_p95', 'tx')}"
            " FROM vps_monthly_traffic t JOIN rollup_state rollup ON rollup.tier = 'traffic'"
            " CROSS JOIN LATERAL traffic_counted(t.vps_id, t.month,"
            " least(t.ends_at, greatest(t.counted_until, rollup.rolled_until))) AS counted"
            " WHERE t.vps_id = %(vps_id)s ORDER BY t.starts_at DESC LIMIT %(limit)s",
            {"vps_id": vps_id, "limit": limit},
        )
        return await cursor.fetchall()


async def days(connection: AsyncConnection, *, vps_id: UUID, month: date | None) -> list[Day]:
    """Return the days of a period that have traffic records; of the newest period by default."""
    async with connection.cursor(row_factory=class_row(Day)) as cursor:
        await cursor.execute(
            "SELECT (record.time AT TIME ZONE coalesce(settings.time_zone, 'UTC'))::date AS day,"
            " greatest(traffic_bounded(sum(record.rx::numeric + record.step_rx)), 0) AS rx,"
            " greatest(traffic_bounded(sum(record.tx::numeric + record.step_tx)), 0) AS tx"
            " FROM (SELECT vps_id, starts_at, ends_at FROM vps_monthly_traffic"
            " WHERE vps_id = %(vps_id)s AND month = coalesce(%(month)s, month)"
            " ORDER BY starts_at DESC LIMIT 1) period"
            " LEFT JOIN traffic_settings settings USING (vps_id)"
            " JOIN traffic_facts record ON record.vps_id = period.vps_id"
            " AND record.time >= period.starts_at AND record.time < period.ends_at"
            " GROUP BY day ORDER BY day",
            {"vps_id": vps_id, "month": month},
        )
        return await cursor.fetchall()


async def corrections(
    connection: AsyncConnection, *, vps_id: UUID, months: Sequence[date]
) -> list[Correction]:
    """Return the corrections of these months, oldest first."""
    async with connection.cursor(row_factory=class_row(Correction)) as cursor:
        await cursor.execute(
            "SELECT id, month, rx, tx, reason, author, created_at FROM traffic_corrections"
            " WHERE vps_id = %(vps_id)s AND month = ANY (%(months)s) ORDER BY created_at, id",
            {"vps_id": vps_id, "months": list(months)},
        )
        return await cursor.fetchall()


async def insert_correction(
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
    """Insert a correction; create its period if it does not exist."""
    await _ensure_periods(connection, vps_id=vps_id, months=[month])
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
        correction = await cursor.fetchone()
        assert correction is not None
        return correction
