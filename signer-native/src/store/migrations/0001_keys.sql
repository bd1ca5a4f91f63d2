-- Keys of the signer. Times are milliseconds since 1970-01-01T00:00:00Z. The private halves are in the HSM under cka_id.
CREATE TABLE keys (
    cka_id         TEXT   NOT NULL PRIMARY KEY,
    purpose        TEXT   NOT NULL,
    issuer         TEXT   NOT NULL,
    profile        TEXT   NOT NULL,
    agent          TEXT,
    algorithm      TEXT   NOT NULL,
    rsa_bits       BIGINT NOT NULL,
    origin         TEXT   NOT NULL,
    state          TEXT   NOT NULL,
    created_at     BIGINT NOT NULL,
    published_at   BIGINT,
    activated_at   BIGINT,
    suspended_at   BIGINT,
    demoted_at     BIGINT,
    retired_at     BIGINT,
    destroy_at     BIGINT,
    destroyed_at   BIGINT,
    compromised_at BIGINT,
    not_after      BIGINT,
    max_lifetime   BIGINT NOT NULL,
    kid            TEXT,
    jwk            TEXT
);
CREATE UNIQUE INDEX keys_kid ON keys (kid);
CREATE UNIQUE INDEX keys_one_active ON keys (purpose, profile, COALESCE(agent, '')) WHERE state = 'active';
