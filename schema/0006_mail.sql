-- Keys for encrypted mail, sealed, because a user id holds name and address. The columns of 0001 never
-- had a writer.
ALTER TABLE customer
  DROP COLUMN openpgp_key,
  DROP COLUMN smime_certificate,
  ADD COLUMN openpgp_sealed MEDIUMBLOB NULL,          -- crypto/envelope
  ADD COLUMN openpgp_fingerprint VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  ADD COLUMN openpgp_ends_at BIGINT NULL,             -- NULL: no end
  ADD COLUMN smime_sealed MEDIUMBLOB NULL,
  ADD COLUMN smime_fingerprint VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  ADD COLUMN smime_ends_at BIGINT NULL,
  ADD COLUMN encryption_tell_at BIGINT NULL,          -- when the next end is told; NULL: none to be told
  ADD KEY encryption_tell (encryption_tell_at);
