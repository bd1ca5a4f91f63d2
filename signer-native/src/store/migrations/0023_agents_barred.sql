-- Since when an agent that was revoked comes by certificates of the signer's own authority alone, though it is invited again: one of
-- another authority is not written down here, so that the revoked one could not be told from its successor.
ALTER TABLE agents ADD COLUMN barred_at BIGINT;
UPDATE agents SET barred_at = revoked_at;
CREATE INDEX agent_certificates_end ON agent_certificates (not_after);
