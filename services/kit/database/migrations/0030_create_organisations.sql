-- Organisations own servers. A user is a member of organisations, with a role in each.
CREATE TABLE organisations (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE memberships (
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    user_id         uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role            text NOT NULL CHECK (role IN ('owner', 'admin', 'operator', 'viewer')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation_id, user_id)
);
CREATE INDEX memberships_user_id_idx ON memberships (user_id);

-- Every user that exists gets an organisation of its own, with the servers that it added.
DO $$
DECLARE
    person users;
    organisation uuid;
BEGIN
    FOR person IN SELECT * FROM users LOOP
        INSERT INTO organisations (name) VALUES (person.username) RETURNING id INTO organisation;
        INSERT INTO memberships (organisation_id, user_id, role)
        VALUES (organisation, person.id, 'owner');
    END LOOP;
END $$;

ALTER TABLE vps ADD COLUMN organisation_id uuid REFERENCES organisations ON DELETE RESTRICT;
UPDATE vps SET organisation_id = m.organisation_id FROM memberships m WHERE m.user_id = vps.user_id;
ALTER TABLE vps ALTER COLUMN organisation_id SET NOT NULL;
CREATE INDEX vps_organisation_id_idx ON vps (organisation_id);

-- A server stays when the user who added it is deleted: it belongs to the organisation.
ALTER TABLE vps ALTER COLUMN user_id DROP NOT NULL;
ALTER TABLE vps DROP CONSTRAINT vps_user_id_fkey;
ALTER TABLE vps ADD CONSTRAINT vps_user_id_fkey
    FOREIGN KEY (user_id) REFERENCES users ON DELETE SET NULL;

-- Gateways of the version before add servers without an organisation.
CREATE FUNCTION fill_organisation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT m.organisation_id INTO NEW.organisation_id FROM memberships m
    WHERE m.user_id = NEW.user_id AND m.role = 'owner' ORDER BY m.created_at LIMIT 1;
    IF NEW.organisation_id IS NULL THEN
        INSERT INTO organisations (name) SELECT username FROM users WHERE id = NEW.user_id
        RETURNING id INTO NEW.organisation_id;
        INSERT INTO memberships (organisation_id, user_id, role)
        VALUES (NEW.organisation_id, NEW.user_id, 'owner');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER vps_fill_organisation BEFORE INSERT ON vps FOR EACH ROW
    WHEN (NEW.organisation_id IS NULL) EXECUTE FUNCTION fill_organisation();

-- A server that is shared with one user, who need not be a member of its organisation.
CREATE TABLE server_shares (
    vps_id     uuid NOT NULL REFERENCES vps ON DELETE CASCADE,
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    level      text NOT NULL CHECK (level IN ('operator', 'viewer')),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    PRIMARY KEY (vps_id, user_id)
);
CREATE INDEX server_shares_user_id_idx ON server_shares (user_id);

-- An invitation is for one address and is used once: it is deleted when somebody registers with it.
CREATE TABLE invitations (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    email           text NOT NULL,
    role            text NOT NULL CHECK (role IN ('owner', 'admin', 'operator', 'viewer')),
    token_hash      bytea NOT NULL,
    invited_by      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL
);
CREATE UNIQUE INDEX invitations_token_hash_idx ON invitations (token_hash);
CREATE UNIQUE INDEX invitations_organisation_id_email_idx ON invitations (organisation_id, lower(email));
CREATE INDEX invitations_expires_at_idx ON invitations (expires_at);

-- The right of the user who made a token is checked again when the token is used.
ALTER TABLE enrolment_tokens ADD COLUMN created_by uuid REFERENCES users ON DELETE CASCADE;
UPDATE enrolment_tokens t SET created_by = vps.user_id FROM vps WHERE vps.id = t.vps_id;

-- Terminals stay when their user is deleted.
ALTER TABLE shell_sessions ALTER COLUMN user_id DROP NOT NULL;
ALTER TABLE shell_sessions DROP CONSTRAINT shell_sessions_user_id_fkey;
ALTER TABLE shell_sessions ADD CONSTRAINT shell_sessions_user_id_fkey
    FOREIGN KEY (user_id) REFERENCES users ON DELETE SET NULL;
