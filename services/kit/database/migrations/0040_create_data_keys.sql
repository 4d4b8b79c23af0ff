-- Keys that encrypt values in the database, and the master key that was current when each was made.
CREATE TABLE data_keys (
    id            uuid PRIMARY KEY,
    master_key_id text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Each data key, wrapped by a master key. During a rotation, two master keys wrap it.
CREATE TABLE data_key_wraps (
    data_key_id   uuid NOT NULL REFERENCES data_keys ON DELETE CASCADE,
    master_key_id text NOT NULL,
    wrapped       bytea NOT NULL CHECK (octet_length(wrapped) = 40),
    PRIMARY KEY (data_key_id, master_key_id)
);

-- The type of columns with encrypted values. It refuses a value that somebody forgot to encrypt.
-- Version (1), id of the data key (16 bytes), nonce (12), ciphertext, tag (16).
CREATE DOMAIN encrypted AS bytea
    CHECK (octet_length(VALUE) >= 45 AND substring(VALUE FROM 1 FOR 1) = '\x01'::bytea);
