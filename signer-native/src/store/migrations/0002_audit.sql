-- What was signed and decided: one hash chain per signer process, and the checkpoints that tie them together.
CREATE TABLE audit (
    chain  TEXT   NOT NULL,
    seq    BIGINT NOT NULL,
    hash   TEXT   NOT NULL,
    digest TEXT,
    body   TEXT   NOT NULL,
    PRIMARY KEY (chain, seq)
);
CREATE INDEX audit_digest ON audit (digest) WHERE digest IS NOT NULL;
CREATE TABLE checkpoints (
    id       BIGINT NOT NULL PRIMARY KEY,
    document TEXT   NOT NULL
);
-- Where each chain ends, and how far checkpoints have spoken of it.
CREATE TABLE chains (
    chain  TEXT   NOT NULL PRIMARY KEY,
    seq    BIGINT NOT NULL,
    hash   TEXT   NOT NULL,
    stated BIGINT NOT NULL
);
