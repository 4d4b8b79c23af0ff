-- Rules. A rule applies to the servers in `server_ids`, to those with one of `tags`, or to all servers
-- of the organisation. `version` grows with each
-- change of what a rule compares, and on which servers; states of older versions do not count.
CREATE TABLE alert_rules (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organisation_id     uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    user_id             uuid REFERENCES users ON DELETE SET NULL,
    name                text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    metric_type         text NOT NULL,
    comparison_operator text NOT NULL CHECK (comparison_operator IN ('>', '>=', '<', '<=')),
    threshold           double precision NOT NULL,
    duration_seconds    integer NOT NULL CHECK (duration_seconds >= 0),
    server_ids          uuid[] NOT NULL,
    tags                text[] NOT NULL,
    all_servers         boolean NOT NULL,
    severity            text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    enabled             boolean NOT NULL,
    version             integer NOT NULL DEFAULT 1,
    broken              text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alert_rules_organisation_id_idx ON alert_rules (organisation_id);

-- Where notifications go. `target` is what may be shown of the configuration.
CREATE TABLE alert_channels (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    type            text NOT NULL,
    target          text NOT NULL,
    config          encrypted NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alert_channels_organisation_id_idx ON alert_channels (organisation_id);

CREATE TABLE alert_rule_channels (
    rule_id    uuid NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    channel_id uuid NOT NULL REFERENCES alert_channels ON DELETE CASCADE,
    PRIMARY KEY (rule_id, channel_id)
);
CREATE INDEX alert_rule_channels_channel_id_idx ON alert_rule_channels (channel_id);

-- One row for each time that a rule fired on a server. Names and numbers are those of that moment.
CREATE TABLE alert_events (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    rule_id         uuid REFERENCES alert_rules ON DELETE SET NULL,
    rule_version    integer NOT NULL,
    vps_id          uuid NOT NULL REFERENCES vps ON DELETE CASCADE,
    rule_name       text NOT NULL,
    server_name     text NOT NULL,
    metric_type     text NOT NULL,
    severity        text NOT NULL,
    threshold       double precision NOT NULL,
    value           double precision NOT NULL,
    fired_at        timestamptz NOT NULL,
    resolved_at     timestamptz,
    resolved_value  double precision,
    resolve_reason  text CHECK (resolve_reason IN ('measured', 'rule_changed'))
);
CREATE UNIQUE INDEX alert_events_open_idx ON alert_events (rule_id, vps_id) WHERE resolved_at IS NULL;
CREATE INDEX alert_events_organisation_id_fired_at_idx ON alert_events (organisation_id, fired_at DESC);
CREATE INDEX alert_events_vps_id_fired_at_idx ON alert_events (vps_id, fired_at DESC);
CREATE INDEX alert_events_rule_id_idx ON alert_events (rule_id);

-- The state of each rule on each server where it was pending or fired.
CREATE TABLE alert_states (
    rule_id       uuid NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    vps_id        uuid NOT NULL REFERENCES vps ON DELETE CASCADE,
    version       integer NOT NULL,
    seen_at       timestamptz NOT NULL,
    pending_since timestamptz,
    fired_at      timestamptz,
    PRIMARY KEY (rule_id, vps_id)
);
CREATE INDEX alert_states_vps_id_idx ON alert_states (vps_id);

-- Notifications to send, and the log of those that were sent.
CREATE TABLE alert_deliveries (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id      uuid NOT NULL REFERENCES alert_channels ON DELETE CASCADE,
    event_id        uuid REFERENCES alert_events ON DELETE CASCADE,
    kind            text NOT NULL CHECK (kind IN ('firing', 'resolved', 'test')),
    status          text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    error           text
);
CREATE INDEX alert_deliveries_next_attempt_at_idx ON alert_deliveries (next_attempt_at) WHERE status = 'pending';
CREATE INDEX alert_deliveries_channel_id_idx ON alert_deliveries (channel_id, id DESC);
CREATE UNIQUE INDEX alert_deliveries_event_id_idx ON alert_deliveries (event_id, channel_id, kind);

-- The instance of the alerting service that evaluates rules.
CREATE TABLE alert_lease (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    holder     uuid NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Private addresses that notifications may be sent to, as address:port.
CREATE TABLE outbound_targets (
    target     text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);
