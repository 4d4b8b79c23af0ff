CREATE TABLE docker_containers (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vps_id       uuid NOT NULL REFERENCES vps ON DELETE CASCADE,
    container_id text NOT NULL,
    names        text[] NOT NULL,
    image        text NOT NULL,
    state        text NOT NULL,
    status       text NOT NULL,
    created_at   timestamptz,
    facts        jsonb NOT NULL DEFAULT '{}',
    -- Time at which this state was measured. Older reports do not change the row.
    seen_at      timestamptz NOT NULL,
    -- Set while the container is missing from the host's list.
    gone_at      timestamptz
);
CREATE UNIQUE INDEX docker_containers_vps_id_container_id_idx
    ON docker_containers (vps_id, container_id);

CREATE TABLE docker_metrics (
    time            timestamptz NOT NULL,
    container_db_id bigint NOT NULL,
    mem_usage       bigint,
    mem_limit       bigint,
    cpu_usage       real,
    net_rx          real,
    net_tx          real,
    block_read      real,
    block_write     real,
    PRIMARY KEY (container_db_id, time)
);
SELECT create_hypertable(
    'docker_metrics', by_range('time', INTERVAL '1 day'), create_default_indexes => false
);
