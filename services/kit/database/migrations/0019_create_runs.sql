-- Runs: one script on one or more servers, with an id, a state and a stored output.
CREATE TABLE runs (
    id              uuid PRIMARY KEY,
    user_id         uuid REFERENCES users ON DELETE SET NULL,
    username        text NOT NULL,
    source          text NOT NULL DEFAULT 'person' CHECK (source IN ('person')),
    peer            text NOT NULL DEFAULT '', -- address of the client that started it
    script          text NOT NULL,
    timeout_seconds integer NOT NULL,
    status          text NOT NULL DEFAULT 'queued' CHECK (status IN
        ('queued', 'running', 'finished', 'failed', 'cancelled', 'timed_out', 'lost')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    finished_at     timestamptz,
    -- The gateway instance that drives the run, and its last heartbeat. NULL: any instance may take it.
    follower        uuid,
    followed_at     timestamptz NOT NULL DEFAULT now(),
    -- Number of the next output line, and the bytes that count towards the limit of a run.
    next_position   bigint NOT NULL DEFAULT 0,
    output_size     bigint NOT NULL DEFAULT 0
);
CREATE INDEX runs_created_at_idx ON runs (created_at DESC, id);
CREATE INDEX runs_user_id_idx ON runs (user_id);
CREATE INDEX runs_unfinished_idx ON runs (created_at) WHERE status IN ('queued', 'running');

CREATE TABLE run_servers (
    run_id       uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    vps_id       uuid NOT NULL REFERENCES vps ON DELETE CASCADE,
    status       text NOT NULL DEFAULT 'queued' CHECK (status IN
        ('queued', 'running', 'finished', 'failed', 'cancelled', 'timed_out', 'lost')),
    exit_code    integer,
    reason       text NOT NULL DEFAULT '',
    truncated    boolean NOT NULL DEFAULT false,
    cancelled_by text, -- username; NULL unless somebody cancelled it
    request      bytea, -- the signed command, while it runs
    started_at   timestamptz,
    deadline_at  timestamptz, -- until this time, the agent is asked for the answer
    finished_at  timestamptz,
    -- Bytes of the agent's output that are stored, per stream.
    stdout_read  bigint NOT NULL DEFAULT 0,
    stderr_read  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, vps_id)
);
CREATE INDEX run_servers_vps_id_idx ON run_servers (vps_id);

-- The lines of a run's output, in the order in which every viewer gets them. Rows never change.
CREATE TABLE run_output (
    run_id   uuid NOT NULL,
    position bigint NOT NULL,
    vps_id   uuid NOT NULL,
    time     timestamptz NOT NULL DEFAULT now(),
    stream   text NOT NULL CHECK (stream IN ('stdout', 'stderr', 'status')),
    data     text NOT NULL, -- JSON if the stream is 'status'
    PRIMARY KEY (run_id, position),
    FOREIGN KEY (run_id, vps_id) REFERENCES run_servers ON DELETE CASCADE
);
CREATE INDEX run_output_run_id_vps_id_idx ON run_output (run_id, vps_id, position);

-- Gateways of the previous version write `commands` until they are stopped. Each row becomes a run on
-- one server, with the same id. The follower of such a run is no gateway of this version, so the run
-- is taken over as soon as `followed_at` is old. A later migration drops `commands` and this function.
CREATE FUNCTION copy_command(command commands) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    state text := CASE command.status WHEN 'refused' THEN 'failed' ELSE command.status END;
    line  bigint;
BEGIN
    INSERT INTO runs (id, user_id, username, script, timeout_seconds, status, created_at,
        started_at, follower, followed_at, next_position)
    VALUES (command.id, command.user_id, command.username, command.script,
        command.timeout_seconds, 'running', command.started_at, command.started_at,
        '00000000-0000-0000-0000-000000000000', command.followed_at, 1)
    ON CONFLICT (id) DO UPDATE SET followed_at = excluded.followed_at
        WHERE runs.follower = '00000000-0000-0000-0000-000000000000';
    INSERT INTO run_servers (run_id, vps_id, status, request, started_at, deadline_at)
    VALUES (command.id, command.vps_id, 'running', command.request, command.started_at,
        command.lost_at)
    ON CONFLICT DO NOTHING;
    INSERT INTO run_output (run_id, position, vps_id, time, stream, data)
    VALUES (command.id, 0, command.vps_id, command.started_at, 'status', '{"status": "running"}')
    ON CONFLICT DO NOTHING;
    IF state = 'running' THEN
        RETURN;
    END IF;
    SELECT next_position INTO line FROM runs WHERE id = command.id FOR UPDATE;
    UPDATE run_servers SET status = state, exit_code = command.exit_code,
        reason = command.reason, truncated = truncated OR command.truncated, request = NULL,
        finished_at = command.finished_at
    WHERE run_id = command.id AND status = 'running';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF line = 1 AND command.stdout <> '' THEN
        INSERT INTO run_output (run_id, position, vps_id, time, stream, data)
        VALUES (command.id, 1, command.vps_id, command.finished_at, 'stdout', command.stdout);
    END IF;
    IF line = 1 AND command.stderr <> '' THEN
        INSERT INTO run_output (run_id, position, vps_id, time, stream, data)
        VALUES (command.id, 2, command.vps_id, command.finished_at, 'stderr', command.stderr);
    END IF;
    -- Else a gateway of this version took it over, and stored what there is.
    line := greatest(line, 3);
    INSERT INTO run_output (run_id, position, vps_id, time, stream, data)
    VALUES (command.id, line, command.vps_id, command.finished_at, 'status',
        json_build_object('status', state, 'exit_code', command.exit_code,
            'truncated', command.truncated, 'reason', command.reason)::text);
    UPDATE runs SET status = state, finished_at = command.finished_at, next_position = line + 1
    WHERE id = command.id;
END
$$;

CREATE FUNCTION copy_written_command() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM copy_command(NEW);
    RETURN NULL;
END
$$;
CREATE TRIGGER commands_copied AFTER INSERT OR UPDATE ON commands
    FOR EACH ROW EXECUTE FUNCTION copy_written_command();
