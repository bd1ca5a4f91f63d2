-- Blocks of 512 rows instead of 2048: of the pages that a group of rows has to write, most were still those of this index.
DROP INDEX audit_digest_blocks;
CREATE INDEX audit_digest_blocks ON audit ((seq / 512), digest) WHERE digest IS NOT NULL;
