-- Profiles that were created while a signer ran, beside those of the configuration. The settings are JSON.
CREATE TABLE profiles (
    name       TEXT   NOT NULL PRIMARY KEY,
    settings   TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);
INSERT INTO versions (name, number) VALUES ('profiles', 1);
