-- When a row was written, so that the latest ones are found without reading all. Rows from before this have 0 and come last.
ALTER TABLE audit ADD COLUMN at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX audit_at ON audit (at, chain, seq);
