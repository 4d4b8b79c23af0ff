-- Second factors by TOTP (RFC 6238). Each user has at most one, which counts once it is confirmed.
CREATE TABLE totp_factors (
    user_id      uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    seed         encrypted NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    -- The time step of the last accepted code. No code of this step or an earlier one is accepted.
    last_step    bigint NOT NULL DEFAULT 0
);

-- Codes that replace the second factor. Each is used once.
CREATE TABLE recovery_codes (
    user_id   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    used_at   timestamptz,
    PRIMARY KEY (user_id, code_hash)
);

-- Log-ins whose password was right and whose code is missing.
CREATE TABLE login_challenges (
    secret_hash     bytea PRIMARY KEY,
    user_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    -- Digest of the password's hash. If the password changes, the challenge ends.
    password_digest bytea NOT NULL,
    expires_at      timestamptz NOT NULL
);
CREATE INDEX login_challenges_user_id_idx ON login_challenges (user_id);
CREATE INDEX login_challenges_expires_at_idx ON login_challenges (expires_at);
