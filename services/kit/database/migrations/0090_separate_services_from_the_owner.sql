-- Each service has a role of its own, which owns nothing. services/kit/database/grants.py lists what each may
-- do. These functions do, with the rights of the tables' owner, what PostgreSQL and TimescaleDB allow only to the owner.

-- A temporary table must not take the place of a table that such a function uses, so pg_temp is
-- searched last. Without it in the path, pg_temp is searched first.
SELECT set_config('search_path', current_setting('search_path') || ', pg_temp', true);
ALTER FUNCTION chain_audit_entry() SET search_path FROM CURRENT;
ALTER FUNCTION refuse_audit_change() SET search_path FROM CURRENT;

-- Drop the chunks of a hypertable that end by `before`; return their number.
CREATE FUNCTION drop_chunks_before(hypertable regclass, before timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    RETURN (SELECT count(*) FROM drop_chunks(hypertable, older_than => before));
END $$;

-- Wait for the transactions that store samples; block new ones until the caller's transaction ends.
CREATE FUNCTION lock_out_writers() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    LOCK TABLE ONLY performance_metrics, ONLY late_minutes IN EXCLUSIVE MODE;
END $$;

-- Compress the chunks of a hypertable at an age. Rows with the same `segment_by` are stored together. Only
-- TimescaleDB's Community edition can do this, so the statements are not checked before they run.
CREATE FUNCTION enable_compression(hypertable regclass, segment_by name, after interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    EXECUTE format(
        'ALTER TABLE %s SET (timescaledb.compress, timescaledb.compress_segmentby = %L,'
        ' timescaledb.compress_orderby = ''time'')',
        hypertable, quote_ident(segment_by)
    );
    EXECUTE 'SELECT add_compression_policy($1, compress_after => $2, if_not_exists => true)'
        USING hypertable, after;
END $$;

-- Delete the oldest entries of the audit log that were stored more than `keep` ago, at most
-- `max_entries`; return how many. The gateway may not delete entries in another way, so `keep` has a
-- lower limit. Only the beginning of the chain is deleted. The chain keeps the link to it.
CREATE FUNCTION delete_old_audit_entries(keep interval, max_entries integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    deleted bigint;
BEGIN
    IF keep IS NULL OR now() - keep > now() - interval '365 days' THEN
        RAISE EXCEPTION 'The audit log is append-only: entries are kept for at least 365 days.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    WITH oldest AS (
        SELECT seq, hash, stored_at FROM audit_entries ORDER BY seq LIMIT max_entries
    ),
    aged AS (
        SELECT seq, hash, bool_and(stored_at < now() - keep) OVER (ORDER BY seq) AS is_old FROM oldest
    ),
    last AS (
        SELECT seq, hash FROM aged WHERE is_old ORDER BY seq DESC LIMIT 1
    )
    UPDATE audit_chain SET deleted_seq = last.seq, deleted_hash = last.hash
    FROM last WHERE last.seq > deleted_seq;
    DELETE FROM audit_entries WHERE seq <= (SELECT deleted_seq FROM audit_chain);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END $$;
