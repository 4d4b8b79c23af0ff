CREATE TABLE vps (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id          uuid NOT NULL REFERENCES users ON DELETE RESTRICT,
    name             text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    ip_address       inet,
    os_type          text,
    -- Ed25519. The private key never leaves the agent's host.
    agent_public_key bytea CHECK (length(agent_public_key) = 32),
    -- 'pending' until the agent enrols. Presence says whether the server is online.
    status           text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'enrolled')),
    last_seen_at     timestamptz,
    -- The facts and the policy that the agent reported.
    metadata         jsonb NOT NULL DEFAULT '{}',
    agent_config     jsonb NOT NULL DEFAULT '{}',
    config_revision  bigint NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX vps_user_id_idx ON vps (user_id);
CREATE UNIQUE INDEX vps_agent_public_key_idx ON vps (agent_public_key);

-- At most one token per server. A used token stays until it expires.
CREATE TABLE enrolment_tokens (
    vps_id     uuid PRIMARY KEY REFERENCES vps ON DELETE CASCADE,
    token_hash bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE UNIQUE INDEX enrolment_tokens_token_hash_idx ON enrolment_tokens (token_hash);
