-- Who leads, and what one person proposed and another has to approve.
CREATE TABLE leases (
    name       TEXT   NOT NULL PRIMARY KEY,
    holder     TEXT   NOT NULL,
    fence      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE TABLE approvals (
    id          TEXT   NOT NULL PRIMARY KEY,
    action      TEXT   NOT NULL,
    subject     TEXT   NOT NULL,
    detail      TEXT   NOT NULL,
    proposer    TEXT   NOT NULL,
    proposed_at BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    decision    TEXT,
    decider     TEXT,
    decided_at  BIGINT
);
CREATE UNIQUE INDEX approvals_open ON approvals (action, subject) WHERE decision IS NULL;
