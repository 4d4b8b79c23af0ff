-- Whoever follows a script says so; when nobody does any more, any gateway asks for it again.
ALTER TABLE commands
    ADD COLUMN followed_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN request bytea; -- as it was signed, while it runs
