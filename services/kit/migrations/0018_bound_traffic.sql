-- Whatever one server's counters say, the ledger of all goes on: growth is bounded by what 100 Gbit/s
-- carry in the time, and sums by what a bigint holds.

-- What a counter grew by between two readings, the first of which was taken before the second. A
-- reboot starts it at zero; `elapsed` is the time since. A fall from the last quarter of its range
-- into the first is a wrap, of 32 bits or of the 63 that are stored. Any other fall, or more than
-- the wire carries, is an interface that went or came: then the agent's rate counts, which it takes
-- of each interface by itself, or nothing.
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

-- A quarter of the range: what is made of four such does not overflow.
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
