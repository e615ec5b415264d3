-- Keys in an overlap, newest first: `ends` says that the secret has an end, whichever, so that the index goes
-- on with the key's id. Whether it is still to come is looked up for each.
ALTER TABLE key_secret
  ADD COLUMN ends TINYINT AS (CASE WHEN expires_at IS NULL THEN 0 ELSE 1 END) PERSISTENT,
  ADD KEY ending (ends, key_id),
  DROP KEY overlap;
