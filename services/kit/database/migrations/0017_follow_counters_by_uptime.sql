-- Readings are sorted by a clock that may be set. The uptime gives their real order within a boot.

-- True if the host booted between two readings. `before` and `now` are the uptimes at both readings,
-- `elapsed` is the time between them by the clock, all in seconds.
--
-- After a boot between the readings, the uptime is at most `elapsed`. Without a boot, it is at least
-- `elapsed`. A lower uptime that exceeds `elapsed` means that the clock was set back, so two readings
-- of the same boot are in the wrong order. Uptime has whole seconds and is not read at the same
-- moment as the clock, so the comparison allows 5 seconds.
--
-- Examples with elapsed = 300: uptimes 1000, 1300: no boot. 1000, 120: boot (120 <= 305).
-- 1000, 900: clock set back, no boot (900 > 305). 100, 120: boot (120 < 295).
CREATE OR REPLACE FUNCTION traffic_rebooted(
    before integer, now integer, elapsed double precision
) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce((now < before AND now <= elapsed + 5) OR now < elapsed - 5, false)
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
