-- Readings are ordered by a clock that may be set, and were taken in the order of uptimes.

-- Let the clock be right, B the moment of the boot, and `elapsed` the time since the reading
-- before, at T. A host that booted since has B >= T, so its uptime, `T + elapsed - B`, is at most
-- `elapsed`; one that did not has B <= T, and at least that. A lower uptime that is more than
-- `elapsed` is then of a clock that was set back: readings of one boot, in each other's places.
-- Uptime is in whole seconds and read a moment apart from the clock: hence 5 seconds.
CREATE OR REPLACE FUNCTION traffic_rebooted(
    before integer, now integer, elapsed double precision
) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce((now < before AND now <= elapsed + 5) OR now < elapsed - 5, false)
$$;

-- What passed between two readings, in the order of their times. One that was taken before its
-- neighbour counts negative, so that a stretch of one boot, however its readings lie, adds up to
-- what its ends say. Uptimes within one boot tell how long it really was.
--
-- A boot's first five minutes beside readings of a day's uptime more are two boots, though by the
-- clock they may cross: it ran fast until the reboot put it right. The way back takes off what the
-- way there has added.
CREATE FUNCTION traffic_grown(
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
        ELSE traffic_delta(
            before, now, false, rate, greatest(elapsed, uptime::float8 - uptime_before)
        )
    END
$$;
