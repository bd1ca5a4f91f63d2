-- Names of agents that were deleted: whoever has one later comes by certificates of the signer's own authority alone, as a name does
-- that was revoked (agents.barred_at). Their rows are gone, and a certificate of another authority may live on.
CREATE TABLE agents_barred (
    name      TEXT   NOT NULL PRIMARY KEY,
    barred_at BIGINT NOT NULL
);
-- Those of before, as far as certificates still tell of them.
INSERT INTO agents_barred (name, barred_at)
    SELECT agent, MAX(revoked_at) FROM agent_certificates WHERE revoked_at IS NOT NULL GROUP BY agent;
