"""The SQL of the traffic ledger. Functions take the connection and never commit."""

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString

from psycopg import AsyncConnection

from services.ingest.store.rollup import UNKNOWN, Mark, arrays

# Runs are stretches of whole buckets, a server each.
_WINDOW: LiteralString = (
    "WITH runs AS (SELECT id AS vps_id, %(since)s::timestamptz AS since,"
    " %(until)s::timestamptz AS until FROM vps),"
)
_MARKED: LiteralString = (
    "WITH runs AS (SELECT DISTINCT m.vps_id, time_bucket('5 minutes', m.time) AS since,"
    " time_bucket('5 minutes', m.time) + interval '5 minutes' AS until"
    " FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[]) AS m (vps_id, time)"
    " JOIN vps ON vps.id = m.vps_id),"
)
# Readings of the counters: the last one before a run, and those in it. `given` is what is known of
# the growth since the reading before.
_BEFORE: LiteralString = (
    " readings AS ("
    "SELECT r.vps_id, r.since, f.last_at AS at, f.last_rx AS rx, f.last_tx AS tx,"
    " f.last_uptime AS uptime, NULL::real AS rx_rate, NULL::real AS tx_rate,"
    " NULL::bigint AS given_rx, NULL::bigint AS given_tx"
    " FROM runs r CROSS JOIN LATERAL (SELECT * FROM traffic_facts f"
    " WHERE f.vps_id = r.vps_id AND f.time < r.since ORDER BY f.time DESC LIMIT 1) f UNION ALL "
)
_SAMPLES: LiteralString = (
    "SELECT r.vps_id, r.since, p.time, p.net_rx_total, p.net_tx_total,"
    " least(p.uptime, 2147483647)::integer, p.net_rx, p.net_tx, NULL, NULL FROM runs r CROSS JOIN LATERAL ("
    "SELECT * FROM performance_metrics p WHERE p.vps_id = r.vps_id AND p.time >= r.since"
    " AND p.time < r.until AND p.net_rx_total IS NOT NULL AND p.net_tx_total IS NOT NULL"
    " OFFSET 0) p"
)
# Where the samples are gone, the fact stands for them by its ends; what came late between those
# was counted when the later end was.
_ENDS_AND_UNKNOWN: LiteralString = (
    "SELECT r.vps_id, r.since, f.first_at, f.first_rx, f.first_tx, f.first_uptime,"
    " f.first_rx_rate, f.first_tx_rate, NULL, NULL"
    " FROM runs r JOIN traffic_facts f ON f.vps_id = r.vps_id AND f.time = r.since"
    " UNION ALL "
    "SELECT r.vps_id, r.since, f.last_at, f.last_rx, f.last_tx, f.last_uptime, NULL, NULL,"
    " f.rx, f.tx FROM runs r JOIN traffic_facts f ON f.vps_id = r.vps_id AND f.time = r.since"
    " WHERE f.last_at > f.first_at UNION ALL "
    "SELECT u.vps_id, u.since, u.time, u.rx, u.tx, u.uptime, u.rx_rate, u.tx_rate, NULL, NULL"
    " FROM (SELECT p.vps_id, time_bucket('5 minutes', p.time) AS since, p.time,"
    " p.net_rx_total AS rx, p.net_tx_total AS tx, least(p.uptime, 2147483647)::integer AS uptime,"
    " p.net_rx AS rx_rate, p.net_tx AS tx_rate"
    + UNKNOWN
    + " AND p.net_rx_total IS NOT NULL AND p.net_tx_total IS NOT NULL) u"
    " LEFT JOIN traffic_facts f ON f.vps_id = u.vps_id AND f.time = u.since"
    " WHERE f.time IS NULL OR u.time < f.first_at OR u.time > f.last_at"
)
_MADE: LiteralString = (
    "), steps AS (SELECT *, lag(at) OVER w AS before_at, lag(rx) OVER w AS before_rx,"
    " lag(tx) OVER w AS before_tx, lag(uptime) OVER w AS before_uptime"
    " FROM readings WINDOW w AS (PARTITION BY vps_id, since ORDER BY at)),"
    " grown AS (SELECT s.*, time_bucket('5 minutes', s.at) AS bucket,"
    " coalesce(given_rx,"
    " traffic_grown(before_rx, rx, before_uptime, uptime, rx_rate, elapsed)) AS more_rx,"
    " coalesce(given_tx,"
    " traffic_grown(before_tx, tx, before_uptime, uptime, tx_rate, elapsed)) AS more_tx"
    " FROM steps s"
    " CROSS JOIN LATERAL (SELECT extract(epoch FROM at - before_at)::float8 AS elapsed) e"
    " WHERE at >= since),"
    " made AS (INSERT INTO traffic_facts AS t (vps_id, time, first_at, last_at, since_at,"
    " rx, tx, step_rx, step_tx, first_rx, first_tx, last_rx, last_tx,"
    " first_uptime, last_uptime, first_rx_rate, first_tx_rate)"
    " SELECT vps_id, bucket, min(at), max(at), first(before_at, at),"
    " traffic_bounded(coalesce(sum(more_rx) FILTER (WHERE before_at >= bucket), 0)),"
    " traffic_bounded(coalesce(sum(more_tx) FILTER (WHERE before_at >= bucket), 0)),"
    " traffic_bounded(coalesce(sum(more_rx) FILTER (WHERE before_at < bucket), 0)),"
    " traffic_bounded(coalesce(sum(more_tx) FILTER (WHERE before_at < bucket), 0)),"
    " first(rx, at), first(tx, at), last(rx, at), last(tx, at),"
    " first(uptime, at), last(uptime, at), first(rx_rate, at), first(tx_rate, at)"
    " FROM grown GROUP BY vps_id, bucket"
    " ON CONFLICT (vps_id, time) DO UPDATE SET"
    " (first_at, last_at, since_at, rx, tx, step_rx, step_tx, first_rx, first_tx,"
    " last_rx, last_tx, first_uptime, last_uptime, first_rx_rate, first_tx_rate) ="
    " (excluded.first_at, excluded.last_at, excluded.since_at, excluded.rx, excluded.tx,"
    " excluded.step_rx, excluded.step_tx, excluded.first_rx, excluded.first_tx,"
    " excluded.last_rx, excluded.last_tx, excluded.first_uptime, excluded.last_uptime,"
    " excluded.first_rx_rate, excluded.first_tx_rate)"
    " RETURNING t.vps_id, t.time)"
)
_COUNT: LiteralString = " SELECT count(*) FROM made"


async def roll(connection: AsyncConnection, *, since: datetime, until: datetime) -> list[Mark]:
    """Make every server's facts of the window; the first and the last of each server."""
    cursor = await connection.execute(
        _WINDOW
        + _BEFORE
        + _SAMPLES
        + _MADE
        + " SELECT vps_id, min(time) FROM made GROUP BY 1"
        + " UNION SELECT vps_id, max(time) FROM made GROUP BY 1",
        {"since": since, "until": until},
    )
    return await cursor.fetchall()


async def remake(connection: AsyncConnection, *, marks: Sequence[Mark]) -> None:
    """Make the facts that those times are in again, from all samples."""
    await connection.execute(_MARKED + _BEFORE + _SAMPLES + _MADE + _COUNT, arrays(marks))


async def merge(connection: AsyncConnection, *, marks: Sequence[Mark]) -> None:
    """Add what came after the samples of those minutes were dropped.

    Before the minutes themselves are merged: they tell what is known.
    """
    await connection.execute(_MARKED + _BEFORE + _ENDS_AND_UNKNOWN + _MADE + _COUNT, arrays(marks))


async def join(connection: AsyncConnection, *, marks: Sequence[Mark]) -> list[Mark]:
    """Take the steps into those facts, and into the ones that follow, anew; which they are."""
    cursor = await connection.execute(
        "WITH marked AS (SELECT DISTINCT vps_id, time_bucket('5 minutes', time) AS time"
        " FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[]) AS m (vps_id, time)),"
        " touched AS (SELECT vps_id, time FROM marked UNION"
        " SELECT m.vps_id, n.time FROM marked m CROSS JOIN LATERAL ("
        "SELECT f.time FROM traffic_facts f WHERE f.vps_id = m.vps_id AND f.time > m.time"
        " ORDER BY f.time LIMIT 1) n),"
        " steps AS (SELECT f.vps_id, f.time, p.last_at,"
        " traffic_grown(p.last_rx, f.first_rx, p.last_uptime, f.first_uptime,"
        " f.first_rx_rate, elapsed) AS rx,"
        " traffic_grown(p.last_tx, f.first_tx, p.last_uptime, f.first_uptime,"
        " f.first_tx_rate, elapsed) AS tx"
        " FROM touched t JOIN traffic_facts f ON f.vps_id = t.vps_id AND f.time = t.time"
        " CROSS JOIN LATERAL (SELECT * FROM traffic_facts p"
        " WHERE p.vps_id = t.vps_id AND p.time < t.time ORDER BY p.time DESC LIMIT 1) p"
        " CROSS JOIN LATERAL ("
        "SELECT extract(epoch FROM f.first_at - p.last_at)::float8 AS elapsed) e),"
        " joined AS (UPDATE traffic_facts f SET since_at = s.last_at, step_rx = s.rx,"
        " step_tx = s.tx FROM steps s WHERE f.vps_id = s.vps_id AND f.time = s.time"
        " AND (f.since_at, f.step_rx, f.step_tx) IS DISTINCT FROM (s.last_at, s.rx, s.tx))"
        " SELECT vps_id, time FROM touched",
        arrays(marks),
    )
    return await cursor.fetchall()


async def open_periods(connection: AsyncConnection, *, marks: Sequence[Mark]) -> None:
    """Have the periods that those facts fall into."""
    await connection.execute(
        "INSERT INTO vps_monthly_traffic (vps_id, month, starts_at, ends_at, counted_until)"
        " SELECT DISTINCT v.id, p.month, p.starts_at, p.ends_at, p.starts_at"
        " FROM (SELECT id FROM vps WHERE id = ANY (%(vps)s) FOR KEY SHARE) v"
        " JOIN unnest(%(vps)s::uuid[], %(times)s::timestamptz[]) AS m (vps_id, time)"
        " ON m.vps_id = v.id LEFT JOIN traffic_settings s ON s.vps_id = v.id"
        " CROSS JOIN LATERAL traffic_period("
        "m.time, coalesce(s.reset_day, 1), coalesce(s.time_zone, 'UTC')) p"
        " WHERE NOT EXISTS (SELECT FROM vps_monthly_traffic k WHERE k.vps_id = v.id"
        " AND k.starts_at <= m.time AND m.time < k.ends_at)"
        " ON CONFLICT (vps_id, month) DO NOTHING",
        arrays(marks),
    )


async def outdate_periods(
    connection: AsyncConnection, *, marks: Sequence[Mark], facts_from: datetime
) -> None:
    """Have the periods counted anew whose facts have changed, unless older ones are gone."""
    await connection.execute(
        "UPDATE vps_monthly_traffic t SET outdated = true"
        " FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[]) AS m (vps_id, time)"
        " WHERE t.vps_id = m.vps_id AND t.starts_at <= m.time AND m.time < t.ends_at"
        " AND m.time < t.counted_until AND t.starts_at >= %(facts_from)s AND NOT t.outdated",
        {**arrays(marks), "facts_from": facts_from},
    )


async def count_periods(connection: AsyncConnection, *, until: datetime) -> int:
    """Bring every period's totals up to the facts before `until`; how many changed."""
    cursor = await connection.execute(
        "UPDATE vps_monthly_traffic t SET"
        " total_rx = c.rx, total_tx = c.tx, covered_seconds = c.covered,"
        " counted_until = c.until, outdated = false,"
        " rx_p95 = CASE WHEN c.until >= t.ends_at"
        " THEN (SELECT q.rx FROM traffic_p95(t.vps_id, t.starts_at, t.ends_at) q) END,"
        " tx_p95 = CASE WHEN c.until >= t.ends_at"
        " THEN (SELECT q.tx FROM traffic_p95(t.vps_id, t.starts_at, t.ends_at) q) END"
        " FROM (SELECT o.vps_id, o.month, g.* FROM vps_monthly_traffic o"
        " CROSS JOIN LATERAL traffic_counted("
        "o.vps_id, o.month, least(o.ends_at, greatest(o.counted_until, %(until)s))) g"
        " WHERE o.outdated OR (o.counted_until < o.ends_at AND o.counted_until < %(until)s)) c"
        " WHERE t.vps_id = c.vps_id AND t.month = c.month",
        {"until": until},
    )
    return cursor.rowcount
