-- Terminals, those that run and those that were.
CREATE TABLE shell_sessions (
    id           text PRIMARY KEY CHECK (id ~ '^[0-9a-f]{32}$'),
    vps_id       uuid NOT NULL REFERENCES vps ON DELETE CASCADE,
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    username     text NOT NULL,
    container    text, -- null for the login shell of the server
    started_at   timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,
    end_reason   text,
    exit_code    integer,
    viewers      integer NOT NULL DEFAULT 0,
    bytes        bigint NOT NULL DEFAULT 0, -- of output
    recorded     boolean NOT NULL DEFAULT false,
    -- The shellproxy that owns it, and when that last said so.
    instance     text NOT NULL,
    heartbeat_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX shell_sessions_vps_id_started_at_idx ON shell_sessions (vps_id, started_at DESC);
CREATE INDEX shell_sessions_user_id_started_at_idx ON shell_sessions (user_id, started_at DESC);
CREATE INDEX shell_sessions_open_idx ON shell_sessions (heartbeat_at) WHERE ended_at IS NULL;
CREATE INDEX shell_sessions_ended_at_idx ON shell_sessions (ended_at) WHERE ended_at IS NOT NULL;

-- asciicast v2 in parts of whole lines, each compressed by zlib. Input is not in it.
CREATE TABLE shell_recordings (
    session_id text NOT NULL REFERENCES shell_sessions ON DELETE CASCADE,
    part       integer NOT NULL,
    data       bytea NOT NULL,
    PRIMARY KEY (session_id, part)
);
-- It is compressed already.
ALTER TABLE shell_recordings ALTER COLUMN data SET STORAGE EXTERNAL;
