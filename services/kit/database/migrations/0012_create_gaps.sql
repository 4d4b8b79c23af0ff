-- Data that agents had to drop, as they report it.
CREATE TABLE gaps (
    vps_id   uuid NOT NULL REFERENCES vps ON DELETE CASCADE,
    epoch    text NOT NULL,
    id       bigint NOT NULL,
    kind     text NOT NULL CHECK (kind IN ('performance', 'docker', 'generic')),
    reason   text NOT NULL CHECK (reason IN ('space', 'age', 'memory', 'refused', 'damaged')),
    count    bigint NOT NULL, -- 0 if the number is unknown
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    PRIMARY KEY (vps_id, epoch, id)
);
CREATE INDEX gaps_vps_id_last_at_idx ON gaps (vps_id, last_at);
