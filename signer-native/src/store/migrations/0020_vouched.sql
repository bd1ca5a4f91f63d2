-- Since when somebody stands as they do on another's word: invited, given a role, let back, given a new beginning. NULL for
-- whoever set the signer up, and for those of before.
ALTER TABLE users ADD COLUMN vouched_at BIGINT;
