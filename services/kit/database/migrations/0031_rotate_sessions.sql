-- What a person recognises a log-in by. The secret in the cookie changes with each use; the hash of the
-- one before tells a copied cookie apart.
ALTER TABLE sessions
    ADD COLUMN user_agent    text NOT NULL DEFAULT '',
    ADD COLUMN address       text NOT NULL DEFAULT '',
    ADD COLUMN used_at       timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN previous_hash bytea,
    ADD COLUMN rotated_at    timestamptz NOT NULL DEFAULT now();
CREATE UNIQUE INDEX sessions_previous_hash_idx ON sessions (previous_hash);
