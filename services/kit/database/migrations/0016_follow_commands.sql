-- A gateway that follows a script updates `followed_at`. If it stops, another gateway asks the agent
-- for the result again.
ALTER TABLE commands
    ADD COLUMN followed_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN request bytea; -- the signed command, while the script runs
