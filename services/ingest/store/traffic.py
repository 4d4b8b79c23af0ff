"""SQL of the traffic records. Functions take the connection and never commit.

A traffic record holds five minutes of a server's network counters: the first and last reading, the
growth between them (`rx`, `tx`), and the growth since the reading before them (`step_rx`,
`step_tx`). The migrations define the SQL functions `traffic_…`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString

from psycopg import AsyncConnection

from services.ingest.store.rollup import UNCOUNTED_SAMPLES, BucketKey, bucket_arrays

# The statements that create records are composed of common table expressions:
#
#   spans     ranges of whole buckets, each of one server        _WINDOW or _BUCKETS
#   readings  counter readings just before and in each span      _BEFORE, then _SAMPLES or _MERGED
#   written   the records made from the readings                 _RECORDS

_WINDOW: LiteralString = """
WITH spans AS (
    SELECT id AS vps_id, %(since)s::timestamptz AS since, %(until)s::timestamptz AS until
    FROM vps
),
"""
_BUCKETS: LiteralString = """
WITH spans AS (
    SELECT DISTINCT b.vps_id,
        time_bucket('5 minutes', b.time) AS since,
        time_bucket('5 minutes', b.time) + interval '5 minutes' AS until
    FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[]) AS b (vps_id, time)
    JOIN vps ON vps.id = b.vps_id
),
"""
# The last reading before the span. `known_rx` and `known_tx` are the growth since the previous
# reading, if it is known and must not be computed again.
_BEFORE: LiteralString = """
readings AS (
    SELECT s.vps_id, s.since, f.last_at AS at, f.last_rx AS rx, f.last_tx AS tx,
        f.last_uptime AS uptime, NULL::real AS rx_rate, NULL::real AS tx_rate,
        NULL::bigint AS known_rx, NULL::bigint AS known_tx
    FROM spans s
    CROSS JOIN LATERAL (
        SELECT * FROM traffic_facts f
        WHERE f.vps_id = s.vps_id AND f.time < s.since
        ORDER BY f.time DESC LIMIT 1
    ) f
    UNION ALL
"""
# The readings in the span, from its samples.
_SAMPLES: LiteralString = """
    SELECT s.vps_id, s.since, p.time, p.net_rx_total, p.net_tx_total,
        least(p.uptime, 2147483647)::integer, p.net_rx, p.net_tx, NULL, NULL
    FROM spans s
    CROSS JOIN LATERAL (
        SELECT * FROM performance_metrics p
        WHERE p.vps_id = s.vps_id AND p.time >= s.since AND p.time < s.until
            AND p.net_rx_total IS NOT NULL AND p.net_tx_total IS NOT NULL
        OFFSET 0 -- keeps the planner from pulling the subquery up
    ) p
),
"""
# The readings in a span whose samples have been dropped. The first and the last reading of the existing
# record represent them. Late samples before the first or after the last reading are added. A late
# sample between the two adds nothing, because the growth between them is already counted.
_MERGED: LiteralString = (
    """
    SELECT s.vps_id, s.since, f.first_at, f.first_rx, f.first_tx, f.first_uptime,
        f.first_rx_rate, f.first_tx_rate, NULL, NULL
    FROM spans s
    JOIN traffic_facts f ON f.vps_id = s.vps_id AND f.time = s.since
    UNION ALL
    SELECT s.vps_id, s.since, f.last_at, f.last_rx, f.last_tx, f.last_uptime,
        NULL, NULL, f.rx, f.tx
    FROM spans s
    JOIN traffic_facts f ON f.vps_id = s.vps_id AND f.time = s.since
    WHERE f.last_at > f.first_at
    UNION ALL
    SELECT u.vps_id, u.since, u.time, u.rx, u.tx, u.uptime, u.rx_rate, u.tx_rate, NULL, NULL
    FROM (
        SELECT p.vps_id, time_bucket('5 minutes', p.time) AS since, p.time,
            p.net_rx_total AS rx, p.net_tx_total AS tx,
            least(p.uptime, 2147483647)::integer AS uptime,
            p.net_rx AS rx_rate, p.net_tx AS tx_rate
"""
    + UNCOUNTED_SAMPLES
    + """
            AND p.net_rx_total IS NOT NULL AND p.net_tx_total IS NOT NULL
    ) u
    LEFT JOIN traffic_facts f ON f.vps_id = u.vps_id AND f.time = u.since
    WHERE f.time IS NULL OR u.time < f.first_at OR u.time > f.last_at
),
"""
)
# The records. `steps` pairs each reading with the previous one in its span, and `growth` adds the growth
# of the counters between them. Growth since a reading in an earlier bucket is the record's step.
# Growth within the bucket is its rx and tx.
_RECORDS: LiteralString = """
steps AS (
    SELECT *, lag(at) OVER w AS before_at, lag(rx) OVER w AS before_rx, lag(tx) OVER w AS before_tx,
        lag(uptime) OVER w AS before_uptime
    FROM readings
    WINDOW w AS (PARTITION BY vps_id, since ORDER BY at)
),
growth AS (
    SELECT s.*, time_bucket('5 minutes', s.at) AS bucket,
        coalesce(
            known_rx, traffic_grown(before_rx, rx, before_uptime, uptime, rx_rate, elapsed)
        ) AS more_rx,
        coalesce(
            known_tx, traffic_grown(before_tx, tx, before_uptime, uptime, tx_rate, elapsed)
        ) AS more_tx
    FROM steps s
    CROSS JOIN LATERAL (SELECT extract(epoch FROM at - before_at)::float8 AS elapsed) e
    WHERE at >= since -- without the reading before the span
),
written AS (
    INSERT INTO traffic_facts AS t (
        vps_id, time, first_at, last_at, since_at, rx, tx, step_rx, step_tx,
        first_rx, first_tx, last_rx, last_tx,
        first_uptime, last_uptime, first_rx_rate, first_tx_rate
    )
    SELECT vps_id, bucket, min(at), max(at), first(before_at, at),
        traffic_bounded(coalesce(sum(more_rx) FILTER (WHERE before_at >= bucket), 0)),
        traffic_bounded(coalesce(sum(more_tx) FILTER (WHERE before_at >= bucket), 0)),
        traffic_bounded(coalesce(sum(more_rx) FILTER (WHERE before_at < bucket), 0)),
        traffic_bounded(coalesce(sum(more_tx) FILTER (WHERE before_at < bucket), 0)),
        first(rx, at), first(tx, at), last(rx, at), last(tx, at),
        first(uptime, at), last(uptime, at), first(rx_rate, at), first(tx_rate, at)
    FROM growth
    GROUP BY vps_id, bucket
    ON CONFLICT (vps_id, time) DO UPDATE SET (
        first_at, last_at, since_at, rx, tx, step_rx, step_tx, first_rx, first_tx,
        last_rx, last_tx, first_uptime, last_uptime, first_rx_rate, first_tx_rate
    ) = (
        excluded.first_at, excluded.last_at, excluded.since_at, excluded.rx, excluded.tx,
        excluded.step_rx, excluded.step_tx, excluded.first_rx, excluded.first_tx,
        excluded.last_rx, excluded.last_tx, excluded.first_uptime, excluded.last_uptime,
        excluded.first_rx_rate, excluded.first_tx_rate
    )
    RETURNING t.vps_id, t.time
)
"""
_COUNT: LiteralString = "SELECT count(*) FROM written"


async def roll(connection: AsyncConnection, *, since: datetime, until: datetime) -> list[BucketKey]:
    """Create every server's records of the window; return the first and last of each server."""
    cursor = await connection.execute(
        _WINDOW
        + _BEFORE
        + _SAMPLES
        + _RECORDS
        + "SELECT vps_id, min(time) FROM written GROUP BY 1"
        + " UNION SELECT vps_id, max(time) FROM written GROUP BY 1",
        {"since": since, "until": until},
    )
    return await cursor.fetchall()


async def rebuild(connection: AsyncConnection, *, minutes: Sequence[BucketKey]) -> None:
    """Create or replace the records that contain these minutes, from all samples."""
    await connection.execute(
        _BUCKETS + _BEFORE + _SAMPLES + _RECORDS + _COUNT, bucket_arrays(minutes)
    )


async def merge(connection: AsyncConnection, *, minutes: Sequence[BucketKey]) -> None:
    """Add late samples to records whose other samples have been dropped.

    Call this before the minutes are merged, because they show which samples are already counted.
    """
    await connection.execute(
        _BUCKETS + _BEFORE + _MERGED + _RECORDS + _COUNT, bucket_arrays(minutes)
    )


async def update_steps(
    connection: AsyncConnection, *, minutes: Sequence[BucketKey]
) -> list[BucketKey]:
    """Recompute the steps of the records that contain these minutes, and of their successors.

    A step is the growth since the last reading of the previous record. Return the affected records.
    """
    cursor = await connection.execute(
        """
        WITH changed AS (
            SELECT DISTINCT vps_id, time_bucket('5 minutes', time) AS time
            FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[]) AS b (vps_id, time)
        ),
        affected AS (
            SELECT vps_id, time FROM changed
            UNION
            SELECT c.vps_id, n.time
            FROM changed c
            CROSS JOIN LATERAL ( -- the next record after it
                SELECT f.time FROM traffic_facts f
                WHERE f.vps_id = c.vps_id AND f.time > c.time
                ORDER BY f.time LIMIT 1
            ) n
        ),
        steps AS (
            SELECT f.vps_id, f.time, p.last_at,
                traffic_grown(
                    p.last_rx, f.first_rx, p.last_uptime, f.first_uptime, f.first_rx_rate, elapsed
                ) AS rx,
                traffic_grown(
                    p.last_tx, f.first_tx, p.last_uptime, f.first_uptime, f.first_tx_rate, elapsed
                ) AS tx
            FROM affected a
            JOIN traffic_facts f ON f.vps_id = a.vps_id AND f.time = a.time
            CROSS JOIN LATERAL ( -- the record before it
                SELECT * FROM traffic_facts p
                WHERE p.vps_id = a.vps_id AND p.time < a.time
                ORDER BY p.time DESC LIMIT 1
            ) p
            CROSS JOIN LATERAL (
                SELECT extract(epoch FROM f.first_at - p.last_at)::float8 AS elapsed
            ) e
        ),
        updated AS (
            UPDATE traffic_facts f
            SET since_at = s.last_at, step_rx = s.rx, step_tx = s.tx
            FROM steps s
            WHERE f.vps_id = s.vps_id AND f.time = s.time
                AND (f.since_at, f.step_rx, f.step_tx) IS DISTINCT FROM (s.last_at, s.rx, s.tx)
        )
        SELECT vps_id, time FROM affected
        """,
        bucket_arrays(minutes),
    )
    return await cursor.fetchall()


async def create_periods(connection: AsyncConnection, *, records: Sequence[BucketKey]) -> None:
    """Create billing periods for the records that no period covers yet."""
    await connection.execute(
        """
        INSERT INTO vps_monthly_traffic (vps_id, month, starts_at, ends_at, counted_until)
        SELECT DISTINCT v.id, p.month, p.starts_at, p.ends_at, p.starts_at
        FROM (SELECT id FROM vps WHERE id = ANY (%(vps)s) FOR KEY SHARE) v
        JOIN unnest(%(vps)s::uuid[], %(times)s::timestamptz[]) AS r (vps_id, time)
            ON r.vps_id = v.id
        LEFT JOIN traffic_settings s ON s.vps_id = v.id
        CROSS JOIN LATERAL traffic_period(
            r.time, coalesce(s.reset_day, 1), coalesce(s.time_zone, 'UTC')
        ) p
        WHERE NOT EXISTS (
            SELECT FROM vps_monthly_traffic k
            WHERE k.vps_id = v.id AND k.starts_at <= r.time AND r.time < k.ends_at
        )
        ON CONFLICT (vps_id, month) DO NOTHING
        """,
        bucket_arrays(records),
    )


async def outdate_periods(
    connection: AsyncConnection, *, records: Sequence[BucketKey], complete_from: datetime
) -> None:
    """Mark the billing periods of these records, so that they are counted again from their start.

    Periods that start before `complete_from` keep their totals, because some records are deleted.
    """
    await connection.execute(
        """
        UPDATE vps_monthly_traffic t SET outdated = true
        FROM unnest(%(vps)s::uuid[], %(times)s::timestamptz[]) AS r (vps_id, time)
        WHERE t.vps_id = r.vps_id AND t.starts_at <= r.time AND r.time < t.ends_at
            AND r.time < t.counted_until AND t.starts_at >= %(complete_from)s AND NOT t.outdated
        """,
        {**bucket_arrays(records), "complete_from": complete_from},
    )


async def count_periods(connection: AsyncConnection, *, until: datetime) -> int:
    """Add the records before `until` to the totals of their periods; return how many changed."""
    cursor = await connection.execute(
        """
        UPDATE vps_monthly_traffic t
        SET total_rx = c.rx, total_tx = c.tx, covered_seconds = c.covered,
            counted_until = c.until, outdated = false,
            -- The percentiles are known once the period has ended.
            rx_p95 = CASE WHEN c.until >= t.ends_at
                THEN (SELECT q.rx FROM traffic_p95(t.vps_id, t.starts_at, t.ends_at) q) END,
            tx_p95 = CASE WHEN c.until >= t.ends_at
                THEN (SELECT q.tx FROM traffic_p95(t.vps_id, t.starts_at, t.ends_at) q) END
        FROM (
            SELECT o.vps_id, o.month, g.*
            FROM vps_monthly_traffic o
            CROSS JOIN LATERAL traffic_counted(
                o.vps_id, o.month, least(o.ends_at, greatest(o.counted_until, %(until)s))
            ) g
            WHERE o.outdated OR (o.counted_until < o.ends_at AND o.counted_until < %(until)s)
        ) c
        WHERE t.vps_id = c.vps_id AND t.month = c.month
        """,
        {"until": until},
    )
    return cursor.rowcount
