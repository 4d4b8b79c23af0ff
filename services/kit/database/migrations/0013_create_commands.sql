-- The audit log: actions that were done or refused.
CREATE TABLE audit_entries (
    id      uuid PRIMARY KEY,
    time    timestamptz NOT NULL,
    actor   text NOT NULL, -- "user:<id>", "agent:<vps>", "console", "anonymous"
    action  text NOT NULL, -- "<kind>.<verb>"
    object  text NOT NULL, -- "vps:<id>"; empty if there is none
    detail  text NOT NULL, -- part of the object, such as a path
    allowed boolean NOT NULL,
    reason  text NOT NULL,
    peer    text NOT NULL
);
CREATE INDEX audit_entries_time_idx ON audit_entries (time DESC);
CREATE INDEX audit_entries_actor_time_idx ON audit_entries (actor, time DESC);
CREATE INDEX audit_entries_object_time_idx ON audit_entries (object, time DESC);

-- Scripts that ran on servers, with their output.
CREATE TABLE commands (
    id              uuid PRIMARY KEY, -- id of the signed command
    vps_id          uuid NOT NULL REFERENCES vps ON DELETE CASCADE,
    user_id         uuid REFERENCES users ON DELETE SET NULL,
    username        text NOT NULL,
    script          text NOT NULL,
    timeout_seconds integer NOT NULL,
    status          text NOT NULL DEFAULT 'running' CHECK (status IN
        ('running', 'finished', 'timed_out', 'refused', 'failed', 'cancelled', 'lost')),
    exit_code       integer,
    stdout          text NOT NULL DEFAULT '',
    stderr          text NOT NULL DEFAULT '',
    truncated       boolean NOT NULL DEFAULT false,
    reason          text NOT NULL DEFAULT '',
    started_at      timestamptz NOT NULL DEFAULT now(),
    -- If the row is still unfinished at this time, its gateway has stopped and the script is lost.
    lost_at         timestamptz NOT NULL,
    finished_at     timestamptz
);
CREATE INDEX commands_vps_id_started_at_idx ON commands (vps_id, started_at DESC);
CREATE INDEX commands_started_at_idx ON commands (started_at);
CREATE INDEX commands_user_id_idx ON commands (user_id);
CREATE INDEX commands_lost_at_idx ON commands (lost_at) WHERE status = 'running';
