-- People of the console, what they prove themselves with, and their sessions. Secrets are here as hashes only.
CREATE TABLE users (
    name          TEXT   NOT NULL PRIMARY KEY,
    display_name  TEXT   NOT NULL,
    role          TEXT   NOT NULL,
    handle        TEXT   NOT NULL UNIQUE,
    created_at    BIGINT NOT NULL,
    disabled_at   BIGINT,
    last_login_at BIGINT
);
CREATE TABLE passkeys (
    id            TEXT   NOT NULL PRIMARY KEY,
    person        TEXT   NOT NULL REFERENCES users (name),
    label         TEXT   NOT NULL,
    transports    BIGINT NOT NULL,
    public_key    TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    backed_up     BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    last_used_at  BIGINT
);
CREATE INDEX passkeys_person ON passkeys (person);
CREATE TABLE recovery_codes (
    code          TEXT   NOT NULL PRIMARY KEY,
    person        TEXT   NOT NULL REFERENCES users (name),
    used_at       BIGINT
);
CREATE INDEX recovery_codes_person ON recovery_codes (person);
-- One-time codes: the first administrator's (person NULL), invitations, and new beginnings.
CREATE TABLE person_codes (
    code          TEXT   NOT NULL PRIMARY KEY,
    kind          TEXT   NOT NULL,
    person        TEXT   REFERENCES users (name),
    expires_at    BIGINT NOT NULL,
    used_at       BIGINT
);
CREATE TABLE ceremonies (
    id            TEXT   NOT NULL PRIMARY KEY,
    kind          TEXT   NOT NULL,
    person        TEXT,
    code          TEXT,
    detail        TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE TABLE sessions (
    id            TEXT   NOT NULL PRIMARY KEY,
    reference     TEXT   NOT NULL UNIQUE,
    person        TEXT   NOT NULL REFERENCES users (name),
    via           TEXT   NOT NULL,
    address       TEXT   NOT NULL,
    user_agent    TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    seen_at       BIGINT NOT NULL,
    proved_at     BIGINT
);
CREATE INDEX sessions_person ON sessions (person);
INSERT INTO versions (name, number) VALUES ('people', 1);
