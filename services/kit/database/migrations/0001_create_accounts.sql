CREATE TABLE users (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    username      text NOT NULL CHECK (username ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    password_hash text NOT NULL,
    email         text,
    role          text NOT NULL CHECK (role IN ('admin', 'member')),
    enabled       boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_username_idx ON users (username);

-- One row per log-in. `secret_hash` is the hash of the secret in the refresh cookie.
CREATE TABLE sessions (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    secret_hash  bytea NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);
CREATE UNIQUE INDEX sessions_secret_hash_idx ON sessions (secret_hash);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

-- Number of wrong passwords per user name and per address, to slow down guessing.
CREATE TABLE login_failures (
    key        text PRIMARY KEY,
    failures   integer NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX login_failures_expires_at_idx ON login_failures (expires_at);

-- Tickets. Each opens one WebSocket and is used once.
CREATE TABLE ws_tickets (
    secret_hash bytea PRIMARY KEY,
    user_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    session_id  uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    resource    text NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX ws_tickets_expires_at_idx ON ws_tickets (expires_at);
