-- Choices of a user about the look of the console and the units and times that it shows. Only what the
-- user chose is stored. The gateway checks keys and values.
ALTER TABLE users
    ADD COLUMN preferences jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT users_preferences_check CHECK (jsonb_typeof(preferences) = 'object');
