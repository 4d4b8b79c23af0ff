-- Terminal sessions, open and ended.
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
    bytes        bigint NOT NULL DEFAULT 0, -- size of the output
    recorded     boolean NOT NULL DEFAULT false,
    -- The shellproxy that owns the session, and its last heartbeat.
    instance     text NOT NULL,
    heartbeat_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX shell_sessions_vps_id_started_at_idx ON shell_sessions (vps_id, started_at DESC);
CREATE INDEX shell_sessions_user_id_started_at_idx ON shell_sessions (user_id, started_at DESC);
CREATE INDEX shell_sessions_open_idx ON shell_sessions (heartbeat_at) WHERE ended_at IS NULL;
CREATE INDEX shell_sessions_ended_at_idx ON shell_sessions (ended_at) WHERE ended_at IS NOT NULL;

-- Recordings in asciicast v2. A part holds whole lines, compressed with zlib. Input is not recorded.
CREATE TABLE shell_recordings (
    session_id text NOT NULL REFERENCES shell_sessions ON DELETE CASCADE,
    part       integer NOT NULL,
    data       bytea NOT NULL,
    PRIMARY KEY (session_id, part)
);
-- The data is compressed already.
ALTER TABLE shell_recordings ALTER COLUMN data SET STORAGE EXTERNAL;
