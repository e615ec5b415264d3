-- Visits of customers: a link that is opened once, then a session. Link and cookie are kept as keyed hashes.
CREATE TABLE portal_session (
  id BIGINT NOT NULL PRIMARY KEY,
  customer_id BIGINT NOT NULL,
  link_hash BINARY(32) NOT NULL UNIQUE,
  hash BINARY(32) NULL UNIQUE,          -- of the cookie; NULL: the link has not been opened
  may INT NOT NULL,                     -- src/store/portal.h
  within VARCHAR(2048) CHARACTER SET ascii NULL, -- the permissions that its keys stay within; NULL: the tier's
  created_by VARCHAR(64) CHARACTER SET ascii NOT NULL,
  created_at BIGINT NOT NULL,
  opened_at BIGINT NULL,
  ends_at BIGINT NOT NULL,              -- the link's end, once it was opened the session's
  KEY of_customer (customer_id, id),
  KEY ends (ends_at)
);

-- Forms that were sent: each acts once, however often the browser sends it.
CREATE TABLE portal_form (
  session_id BIGINT NOT NULL,
  form BINARY(16) NOT NULL,
  PRIMARY KEY (session_id, form)
);

ALTER TABLE customer ADD COLUMN portal_opened_at BIGINT NULL; -- for the first time
