-- The total of a server is a sum over its interfaces. An interface that returns adds its whole counter
-- to the sum at once, and a container that restarts under its host's uptime sets it to zero. The rate,
-- which the agent measures per interface, shows the real traffic.

-- Return by how many bytes a counter grew from `before` to `now`; `elapsed` is in seconds. After a
-- reboot, the counter starts at zero. A fall from the last quarter of the range into the first
-- quarter is a wrap, of 32 bits or of the 63 bits that are stored. Any other fall, and more growth than
-- is plausible, means that an interface was added or removed. Then the result is `rate` (bytes per
-- second, measured by the agent per interface) times `elapsed`, or 0 after 300 seconds.
--
-- Growth is plausible up to 100 Gbit/s (12.5e9 bytes per second), and for 300 seconds up to ten times
-- the rate and a megabyte: samples between the two readings may be lost or late. Without a rate it is
-- plausible up to 25 Gbit/s, and after a reading of 0 up to 1 Gbit/s.
--
-- Examples with rebooted = false, rate = 50, elapsed = 60: 1000 to 5000 gives 4000.
-- 4294967000 to 704 gives 1000 (wrap of 32 bits: 296 + 704). 5000 to 1000 gives 3000 (50 * 60).
-- 5000 to 9000000 gives 3000: an interface with 9 MB on its counter was added.
-- With rebooted = true, 5000 to 1000 gives 1000.
CREATE OR REPLACE FUNCTION traffic_delta(
    before bigint, now bigint, rebooted boolean, rate real, elapsed double precision
) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN before IS NULL THEN 0
        WHEN rebooted AND now <= 12.5e9::float8 * greatest(elapsed, 1) THEN now
        WHEN NOT rebooted AND now >= before AND now - before <= greatest(elapsed, 1) * CASE
                WHEN rate IS NOT NULL THEN 12.5e9::float8
                WHEN before > 0 THEN 3.125e9::float8
                ELSE 1.25e8::float8
            END
            AND (
                rate IS NULL OR elapsed > 300
                OR now - before <= 10 * greatest(rate, 0)::float8 * elapsed + 1e6::float8
            )
            THEN now - before
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

-- Return the bytes between two readings that are neighbours by the clock. If the second reading was
-- taken first (lower uptime in the same boot), the result is negative. The sum over one boot is
-- therefore the difference between its first and last reading, in whatever order the clock put them.
--
-- Example: one boot with the counter at 100, 300, 200 and 400 and the uptime at 1000, 1020, 1010 and
-- 1030, in the order of a clock that was set back. The results are +200, -100 and +200. Their sum is
-- 300 = 400 - 100.
--
-- A clock that ran fast until a reboot mixes the readings of two boots. An uptime of at most five
-- minutes next to an uptime that is over a day longer than `elapsed` explains belongs to another
-- boot. The step back to the old boot subtracts the bytes that the step to the new boot added.
--
-- A container may show the uptime of its host. If its counter falls below a half and the agent has no
-- rate, because the agent has restarted too, the container restarted and its counter started at zero.
-- More than 1 Gbit/s since then is not plausible. A bond that steps back loses less than a half.
CREATE OR REPLACE FUNCTION traffic_grown(
    before bigint, now bigint, uptime_before integer, uptime integer, rate real,
    elapsed double precision
) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN before IS NULL THEN 0
        WHEN traffic_rebooted(uptime_before, uptime, elapsed)
            OR (uptime <= 300 AND uptime_before::float8 - uptime + elapsed > 86400)
            THEN traffic_delta(before, now, true, rate, uptime + 5::float8)
        WHEN uptime_before <= 300 AND uptime::float8 - uptime_before - elapsed > 86400
            THEN -traffic_delta(now, before, true, NULL, uptime_before + 5::float8)
        WHEN uptime < uptime_before
            THEN -traffic_delta(now, before, false, NULL, uptime_before::float8 - uptime)
        WHEN rate IS NULL AND now < before / 2 AND now <= 1.25e8::float8 * elapsed
            AND NOT (before BETWEEN 3221225472 AND 4294967295 AND now < 1073741824)
            AND before < 6917529027641081856
            THEN now
        ELSE traffic_delta(
            before, now, false, rate, greatest(elapsed, uptime::float8 - uptime_before)
        )
    END
$$;
