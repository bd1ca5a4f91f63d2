-- Keys of the signer. Times are milliseconds since 1970-01-01T00:00:00Z. The private halves are in the HSM under cka_id.
CREATE TABLE keys (
    cka_id       TEXT    NOT NULL PRIMARY KEY,
    profile      TEXT    NOT NULL,
    algorithm    TEXT    NOT NULL,
    rsa_bits     INTEGER NOT NULL,
    state        TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    published_at INTEGER,
    activated_at INTEGER,
    demoted_at   INTEGER,
    retired_at   INTEGER,
    max_lifetime INTEGER NOT NULL,
    kid          TEXT,
    jwk          TEXT
);
CREATE UNIQUE INDEX keys_kid ON keys (kid);
CREATE UNIQUE INDEX keys_one_active_per_profile ON keys (profile) WHERE state = 'active';
