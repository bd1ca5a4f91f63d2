-- Since when nothing is signed for a profile any more; NULL while it is in use.
ALTER TABLE profiles ADD COLUMN retired_at BIGINT;
