-- Agents that were invited, their codes (hashed) and certificates; names that were revoked; requests that may be repeated.
CREATE TABLE agents (
    name       TEXT   NOT NULL PRIMARY KEY,
    policy     TEXT,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE TABLE invitations (
    code       TEXT   NOT NULL PRIMARY KEY,
    agent      TEXT   NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);
CREATE TABLE agent_certificates (
    fingerprint TEXT   NOT NULL PRIMARY KEY,
    agent       TEXT   NOT NULL,
    issued_at   BIGINT NOT NULL,
    not_after   BIGINT NOT NULL,
    revoked_at  BIGINT
);
CREATE INDEX agent_certificates_agent ON agent_certificates (agent);
CREATE TABLE authorities (
    kid         TEXT   NOT NULL PRIMARY KEY,
    certificate TEXT   NOT NULL,
    created_at  BIGINT NOT NULL
);
-- Rises with every change to the tables above, so that signers look at one number instead of at all rows.
CREATE TABLE versions (
    name   TEXT   NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);
INSERT INTO versions (name, number) VALUES ('agents', 1);
CREATE TABLE idempotency (
    agent      TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    body       TEXT   NOT NULL,
    jti        TEXT   NOT NULL,
    iat        BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (agent, name)
);
CREATE INDEX idempotency_end ON idempotency (expires_at);
