-- Each entry of the audit log has a number and the hash of its contents and of the entry before it.
-- Entries are only added. docs/security.md explains the chain.

-- The canonical form of an entry is the sequence of these fields, each as its length in bytes, a
-- colon and its bytes in UTF-8. Times are microseconds since 1970.
CREATE FUNCTION audit_hash(
    previous bytea, seq bigint, id uuid, "time" timestamptz, stored_at timestamptz,
    actor text, action text, object text, detail text, allowed boolean, reason text, peer text
) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(convert_to(string_agg(octet_length(field) || ':' || field, '' ORDER BY place), 'UTF8'))
    FROM unnest(ARRAY[
        encode(previous, 'hex'), seq::text, id::text,
        (extract(epoch FROM "time") * 1000000)::bigint::text,
        (extract(epoch FROM stored_at) * 1000000)::bigint::text,
        actor, action, object, detail,
        CASE WHEN allowed THEN 'allowed' ELSE 'refused' END,
        reason, peer
    ]) WITH ORDINALITY AS fields (field, place)
$$;

-- The two ends of the chain. Its row is locked while an entry is added, so entries of several
-- gateways are added one after the other.
CREATE TABLE audit_chain (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    head_seq     bigint NOT NULL DEFAULT 0, -- newest entry; 0 if there never was one
    head_hash    bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    -- The newest entry that was deleted because of its age. The oldest entry follows it.
    deleted_seq  bigint NOT NULL DEFAULT 0,
    deleted_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    CHECK (deleted_seq <= head_seq)
);
INSERT INTO audit_chain DEFAULT VALUES;

LOCK TABLE audit_entries;
ALTER TABLE audit_entries
    ADD COLUMN seq bigint,
    ADD COLUMN stored_at timestamptz, -- unlike "time", never set by the service that sent the entry
    ADD COLUMN hash bytea;

DO $$
DECLARE
    entry audit_entries;
    last_seq bigint := 0;
    last_hash bytea := decode(repeat('00', 32), 'hex');
BEGIN
    FOR entry IN SELECT * FROM audit_entries ORDER BY time, id LOOP
        last_seq := last_seq + 1;
        last_hash := audit_hash(
            last_hash, last_seq, entry.id, entry.time, entry.time, entry.actor, entry.action,
            entry.object, entry.detail, entry.allowed, entry.reason, entry.peer
        );
        UPDATE audit_entries SET seq = last_seq, stored_at = time, hash = last_hash
        WHERE id = entry.id;
    END LOOP;
    UPDATE audit_chain SET head_seq = last_seq, head_hash = last_hash;
END $$;

ALTER TABLE audit_entries
    ALTER COLUMN seq SET NOT NULL,
    ALTER COLUMN stored_at SET NOT NULL,
    ALTER COLUMN hash SET NOT NULL;
CREATE UNIQUE INDEX audit_entries_seq_idx ON audit_entries (seq);
-- Lists are in the order of the chain, newest first.
DROP INDEX audit_entries_actor_time_idx, audit_entries_object_time_idx;
CREATE INDEX audit_entries_actor_seq_idx ON audit_entries (actor, seq DESC);
CREATE INDEX audit_entries_object_seq_idx ON audit_entries (object, seq DESC);
CREATE INDEX audit_entries_action_seq_idx ON audit_entries (action text_pattern_ops, seq DESC);

-- Add an entry to the end of the chain. An entry that is stored already is skipped.
CREATE FUNCTION chain_audit_entry() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    chain audit_chain;
BEGIN
    SELECT * INTO STRICT chain FROM audit_chain FOR UPDATE;
    IF EXISTS (SELECT FROM audit_entries WHERE id = NEW.id) THEN
        RETURN NULL;
    END IF;
    NEW.seq := chain.head_seq + 1;
    NEW.stored_at := coalesce(NEW.stored_at, clock_timestamp());
    NEW.hash := audit_hash(
        chain.head_hash, NEW.seq, NEW.id, NEW.time, NEW.stored_at, NEW.actor, NEW.action,
        NEW.object, NEW.detail, NEW.allowed, NEW.reason, NEW.peer
    );
    UPDATE audit_chain SET head_seq = NEW.seq, head_hash = NEW.hash;
    RETURN NEW;
END $$;
CREATE TRIGGER chain_audit_entry BEFORE INSERT ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION chain_audit_entry();

CREATE FUNCTION refuse_audit_change() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit_entries' THEN
        -- Only old entries are deleted, after `deleted_seq` was moved past them.
        IF OLD.seq <= (SELECT deleted_seq FROM audit_chain) THEN
            RETURN OLD;
        END IF;
    ELSIF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'audit_chain' THEN
        IF NEW.head_seq >= OLD.head_seq AND NEW.deleted_seq >= OLD.deleted_seq THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'The audit log is append-only: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON audit_chain
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
