-- Tokens for programs. They act for their user, within their scopes.
CREATE TABLE api_tokens (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    secret_hash bytea NOT NULL,
    scopes      text[] NOT NULL,
    -- The token reaches servers with these ids or tags; all servers of its user if both are null.
    server_ids  uuid[],
    tags        text[],
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz
);
CREATE UNIQUE INDEX api_tokens_secret_hash_idx ON api_tokens (secret_hash);
CREATE INDEX api_tokens_user_id_idx ON api_tokens (user_id);
