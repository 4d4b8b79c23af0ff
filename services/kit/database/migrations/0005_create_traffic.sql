-- Traffic records: five minutes of a server's counters. A record has the first and the last reading,
-- the growth between them (rx, tx), and the growth since the reading before (step_rx, step_tx).
CREATE TABLE traffic_facts (
    vps_id        uuid NOT NULL,
    time          timestamptz NOT NULL,
    first_at      timestamptz NOT NULL,
    last_at       timestamptz NOT NULL,
    since_at      timestamptz, -- time of the reading before; null for a server's first record
    rx            bigint NOT NULL,
    tx            bigint NOT NULL,
    step_rx       bigint NOT NULL,
    step_tx       bigint NOT NULL,
    first_rx      bigint NOT NULL,
    first_tx      bigint NOT NULL,
    last_rx       bigint NOT NULL,
    last_tx       bigint NOT NULL,
    first_uptime  integer,
    last_uptime   integer,
    first_rx_rate real,
    first_tx_rate real,
    PRIMARY KEY (vps_id, time)
);
SELECT create_hypertable(
    'traffic_facts', by_range('time', INTERVAL '7 days'), create_default_indexes => false
);
INSERT INTO rollup_state (tier) VALUES ('traffic');

-- One row per server and billing period. A period is named after the month in which it starts.
CREATE TABLE vps_monthly_traffic (
    vps_id          uuid NOT NULL REFERENCES vps ON DELETE CASCADE,
    month           date NOT NULL CHECK (extract(day FROM month) = 1),
    total_rx        bigint NOT NULL DEFAULT 0,
    total_tx        bigint NOT NULL DEFAULT 0,
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL,
    covered_seconds double precision NOT NULL DEFAULT 0,
    -- Bytes per second; null until the period has ended.
    rx_p95          double precision,
    tx_p95          double precision,
    counted_until   timestamptz NOT NULL,
    -- True if records before `counted_until` have changed.
    outdated        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (vps_id, month)
);
CREATE INDEX vps_monthly_traffic_open_idx ON vps_monthly_traffic (ends_at)
    WHERE outdated OR counted_until < ends_at;

CREATE TABLE traffic_settings (
    vps_id    uuid PRIMARY KEY REFERENCES vps ON DELETE CASCADE,
    reset_day smallint NOT NULL CHECK (reset_day BETWEEN 1 AND 31),
    time_zone text NOT NULL,
    counted   text NOT NULL CHECK (counted IN ('out', 'in', 'both', 'max')),
    allowance bigint CHECK (allowance > 0) -- bytes per period
);

-- Corrections that users enter. They are never changed: another entry corrects a wrong one.
CREATE TABLE traffic_corrections (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    vps_id     uuid NOT NULL REFERENCES vps ON DELETE CASCADE,
    month      date NOT NULL CHECK (extract(day FROM month) = 1),
    rx         bigint NOT NULL,
    tx         bigint NOT NULL,
    reason     text NOT NULL,
    author_id  uuid REFERENCES users ON DELETE SET NULL,
    author     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX traffic_corrections_vps_id_month_idx ON traffic_corrections (vps_id, month);

-- Return the start of the period that is named after `month`. If the month does not have the reset
-- day, the period starts on the month's last day.
CREATE FUNCTION traffic_reset(month timestamp, reset_day integer, time_zone text)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT (month + make_interval(days => least(
        reset_day,
        extract(day FROM month + interval '1 month' - interval '1 day')::integer
    ) - 1)) AT TIME ZONE time_zone
$$;

CREATE FUNCTION traffic_period(at timestamptz, reset_day integer, time_zone text)
RETURNS TABLE (month date, starts_at timestamptz, ends_at timestamptz) LANGUAGE sql STABLE AS $$
    SELECT m::date, s.starts_at, s.ends_at
    FROM generate_series(
        date_trunc('month', at AT TIME ZONE time_zone) - interval '1 month',
        date_trunc('month', at AT TIME ZONE time_zone) + interval '1 month',
        interval '1 month'
    ) AS m,
    LATERAL (SELECT
        traffic_reset(m, reset_day, time_zone) AS starts_at,
        traffic_reset(m + interval '1 month', reset_day, time_zone) AS ends_at
    ) AS s
    WHERE s.starts_at <= at AND at < s.ends_at
$$;

CREATE FUNCTION traffic_rebooted(before integer, now integer, elapsed double precision)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    -- Uptime is in whole seconds and read a moment apart from the clock.
    SELECT coalesce(now < before OR now + 5 < elapsed, false)
$$;

-- Return by how many bytes a counter grew between two readings; never negative. After a reboot, the
-- counter starts at zero. A fall from the last quarter of the range into the first quarter is a wrap,
-- of 32 bits or of the 63 bits that are stored. Any other fall, or growth above 100 Gbit/s, means that
-- an interface was removed or added. Then the result is the rate that the agent measured per interface
-- times the elapsed time, or 0.
CREATE FUNCTION traffic_delta(
    before bigint, now bigint, rebooted boolean, rate real, elapsed double precision
) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN before IS NULL THEN 0
        WHEN rebooted THEN now
        WHEN now >= before AND now - before <= 12.5e9::float8 * greatest(elapsed, 1) THEN now - before
        WHEN before < 4294967296 AND before >= 3221225472 AND now < 1073741824
            THEN now + (4294967296 - before)
        WHEN before >= 6917529027641081856 AND now < 2305843009213693952
            THEN now + (9223372036854775807 - before) + 1
        WHEN elapsed <= 300 THEN coalesce(greatest(rate, 0)::float8 * elapsed, 0)::bigint
        ELSE 0
    END
$$;

-- Return the 95th percentiles of the five-minute rates, in bytes per second.
CREATE FUNCTION traffic_p95(server uuid, since timestamptz, until timestamptz)
RETURNS TABLE (rx double precision, tx double precision) LANGUAGE sql STABLE AS $$
    SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY (f.rx + f.step_rx) / s.elapsed),
           percentile_disc(0.95) WITHIN GROUP (ORDER BY (f.tx + f.step_tx) / s.elapsed)
    FROM traffic_facts f,
    LATERAL (SELECT
        extract(epoch FROM f.last_at - coalesce(f.since_at, f.first_at))::float8 AS elapsed
    ) AS s
    WHERE f.vps_id = server AND f.time >= since AND f.time < until AND s.elapsed > 0
$$;

-- Return a period's totals up to a time: the stored total, unless it is outdated, plus the records
-- since then. Of each gap between readings, at most five minutes count as covered.
CREATE FUNCTION traffic_counted(server uuid, period date, until_ timestamptz)
RETURNS TABLE (until timestamptz, rx bigint, tx bigint, covered double precision)
LANGUAGE sql STABLE AS $$
    SELECT until_,
        CASE WHEN t.outdated THEN 0 ELSE t.total_rx END + coalesce(f.rx, 0)::bigint,
        CASE WHEN t.outdated THEN 0 ELSE t.total_tx END + coalesce(f.tx, 0)::bigint,
        CASE WHEN t.outdated THEN 0 ELSE t.covered_seconds END + coalesce(f.covered, 0)
    FROM vps_monthly_traffic t
    CROSS JOIN LATERAL (
        SELECT sum(f.rx + f.step_rx) AS rx, sum(f.tx + f.step_tx) AS tx,
            sum(extract(epoch FROM f.last_at - f.first_at + CASE WHEN f.since_at IS NULL
                THEN interval '0'
                ELSE least(f.first_at - greatest(f.since_at, t.starts_at), interval '5 minutes')
            END))::float8 AS covered
        FROM traffic_facts f
        WHERE f.vps_id = t.vps_id AND f.time < until_
            AND f.time >= CASE WHEN t.outdated THEN t.starts_at ELSE t.counted_until END
    ) f
    WHERE t.vps_id = server AND t.month = period
$$;
