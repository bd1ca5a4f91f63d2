-- What people call a key.
ALTER TABLE keys ADD COLUMN label TEXT;
