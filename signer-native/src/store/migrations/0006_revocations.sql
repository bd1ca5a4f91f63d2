-- What is revoked, and what edges were told of it. versions.revocations rises with every revocation.
CREATE TABLE revocations (
    kind       TEXT   NOT NULL,
    issuer     TEXT   NOT NULL,
    value      TEXT   NOT NULL,
    before_at  BIGINT,
    until      BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    actor      TEXT   NOT NULL,
    PRIMARY KEY (kind, issuer, value)
);
INSERT INTO versions (name, number) VALUES ('revocations', 0);
-- seq is the last sequence that was taken for this edge, document_seq that of the document that is kept, version the list in it.
CREATE TABLE edges (
    name                 TEXT   NOT NULL PRIMARY KEY,
    seq                  BIGINT NOT NULL,
    document_seq         BIGINT NOT NULL,
    version              BIGINT NOT NULL,
    kid                  TEXT,
    document             TEXT,
    signed_at            BIGINT NOT NULL,
    acknowledged_version BIGINT NOT NULL,
    acknowledged_seq     BIGINT NOT NULL,
    acknowledged_at      BIGINT,
    reread_by            BIGINT,
    bound_by             BIGINT,
    attempts             BIGINT NOT NULL,
    next_attempt_at      BIGINT NOT NULL,
    trouble              TEXT
);
