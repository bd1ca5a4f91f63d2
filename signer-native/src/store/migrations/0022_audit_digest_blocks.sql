-- Digests are random, and an index of all of them is written all over: a page of it for nearly every row, and more pages the more
-- rows there are. Ordered by blocks of 2048 rows first, the rows being written share a few pages. Who looks for a digest looks into
-- every block.
DROP INDEX audit_digest;
CREATE INDEX audit_digest_blocks ON audit ((seq / 2048), digest) WHERE digest IS NOT NULL;
