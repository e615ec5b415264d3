-- One row a call with an Idempotency-Key: the reservation of the node that works on it, then its kept
-- answer. Upkeep deletes it when it has expired.
CREATE TABLE idempotency (
  id BINARY(32) NOT NULL PRIMARY KEY,   -- keyed hash of token, method, path and Idempotency-Key
  fingerprint BINARY(32) NOT NULL,      -- keyed hash of the body's bytes
  node SMALLINT NOT NULL,               -- who works on it
  incarnation INT NOT NULL,
  claim BIGINT NOT NULL,                -- random, of the attempt that holds it
  done TINYINT NOT NULL DEFAULT 0,      -- set by the transaction that did the work
  status SMALLINT NOT NULL DEFAULT 0,   -- of the answer
  answer MEDIUMBLOB NULL,               -- crypto/kept_answer
  replays INT NOT NULL DEFAULT 0,
  reserved_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  KEY expires (expires_at)
);
