-- Wrong counters of one server must not stop the accounting of all servers. The growth is limited to
-- what 100 Gbit/s (12.5e9 bytes per second) can carry, and sums are limited to the range of bigint.

-- Return by how many bytes a counter grew from `before` to `now`; `elapsed` is in seconds. After a
-- reboot, the counter starts at zero. A fall from the last quarter of the range into the first
-- quarter is a wrap, of 32 bits or of the 63 bits that are stored. Any other fall, or more growth
-- than the wire can carry, means that an interface was added or removed. Then the result is `rate`
-- (bytes per second, measured by the agent per interface) times `elapsed`, or 0 after 300 seconds.
--
-- Examples with rebooted = false, rate = 50, elapsed = 60: 1000 to 5000 gives 4000.
-- 4294967000 to 704 gives 1000 (wrap of 32 bits: 296 + 704). 5000 to 1000 gives 3000 (50 * 60).
-- With rebooted = true, 5000 to 1000 gives 1000.
CREATE OR REPLACE FUNCTION traffic_delta(
    before bigint, now bigint, rebooted boolean, rate real, elapsed double precision
) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN before IS NULL THEN 0
        WHEN rebooted AND now <= 12.5e9::float8 * greatest(elapsed, 1) THEN now
        WHEN NOT rebooted AND now >= before
            AND now - before <= 12.5e9::float8 * greatest(elapsed, 1) THEN now - before
        WHEN NOT rebooted AND before < 4294967296 AND before >= 3221225472 AND now < 1073741824
            THEN now + (4294967296 - before)
        WHEN NOT rebooted AND before >= 6917529027641081856 AND now < 2305843009213693952
            AND now + (9223372036854775807 - before) + 1 <= 12.5e9::float8 * greatest(elapsed, 1)
            THEN now + (9223372036854775807 - before) + 1
        WHEN elapsed <= 300
            THEN coalesce(least(greatest(rate, 0)::float8, 12.5e9) * elapsed, 0)::bigint
        ELSE 0
    END
$$;

-- Limit a sum to a quarter of the range of bigint, so the sum of four such values cannot overflow.
CREATE FUNCTION traffic_bounded(bytes numeric) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT least(greatest(bytes, -2305843009213693952), 2305843009213693952)::bigint
$$;

CREATE OR REPLACE FUNCTION traffic_counted(server uuid, period date, until_ timestamptz)
RETURNS TABLE (until timestamptz, rx bigint, tx bigint, covered double precision)
LANGUAGE sql STABLE AS $$
    SELECT until_,
        traffic_bounded(CASE WHEN t.outdated THEN 0 ELSE t.total_rx END + coalesce(f.rx, 0)),
        traffic_bounded(CASE WHEN t.outdated THEN 0 ELSE t.total_tx END + coalesce(f.tx, 0)),
        CASE WHEN t.outdated THEN 0 ELSE t.covered_seconds END + coalesce(f.covered, 0)
    FROM vps_monthly_traffic t
    CROSS JOIN LATERAL (
        SELECT sum(f.rx::numeric + f.step_rx) AS rx, sum(f.tx::numeric + f.step_tx) AS tx,
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
