-- Rotation in steps that are done once, the mails that wait to be sent, claim links, alerts.

ALTER TABLE api_key
  ADD COLUMN rotation_off TINYINT NOT NULL DEFAULT 0; -- "rotation": "off"

-- A row a step. Pending: look_at says when a node looks at it next. Done: look_at is NULL.
CREATE TABLE rotation (
  key_id BIGINT NOT NULL,
  generation INT NOT NULL,              -- version of the secret whose life it is; 0: the key's own end
  step SMALLINT NOT NULL,               -- src/core/rotation.h
  id BIGINT NOT NULL AUTO_INCREMENT,    -- for the pages of lists alone
  status TINYINT NOT NULL,              -- src/core/rotation.h; 0: not shown
  number INT NOT NULL DEFAULT 0,        -- how often it was begun anew: its mail's number
  due_at BIGINT NULL,                   -- as planned; NULL: not known yet
  look_at BIGINT NULL,
  waits_for BIGINT NULL,                -- the mail whose acceptance it waits for
  waited_at BIGINT NULL,                -- when that was accepted, or the claim revealed
  used_at BIGINT NULL,                  -- retiring: the first use of the next secret that was seen
  done_at BIGINT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (key_id, generation, step),
  UNIQUE KEY id (id),
  KEY look (look_at, key_id),
  KEY status (status, id),
  KEY done (done_at)
);

-- The table of 0001 never had a reader or a writer.
DROP TABLE IF EXISTS outbox;
CREATE TABLE outbox (
  id BIGINT NOT NULL PRIMARY KEY,       -- ntf_…; also what the Message-ID is made of
  kind VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  subject BIGINT NOT NULL,              -- the key, or the customer
  generation INT NOT NULL,
  number INT NOT NULL DEFAULT 0,        -- of several mails of one kind: daily reminders
  recipient BINARY(16) NOT NULL,        -- blind index of the address
  customer_id BIGINT NOT NULL,
  key_id BIGINT NULL,
  state VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- queued sending sent retry dead
  attempts INT NOT NULL DEFAULT 0,
  node SMALLINT NULL,                   -- who sends it, while it is 'sending'
  incarnation INT NULL,
  next_at BIGINT NOT NULL,
  recipient_sealed VARBINARY(512) NULL, -- the address, crypto/envelope; NULL once it is sent
  context TEXT NULL,                    -- JSON to render from, never a secret; NULL once it is sent
  body MEDIUMBLOB NULL,                 -- or: finished, encrypted to the recipient
  token_sealed VARBINARY(256) NULL,     -- of a claim link, crypto/envelope; NULL once it is sent
  error VARCHAR(200) NULL,              -- of the last attempt
  first_queued_at BIGINT NOT NULL,
  accepted_at BIGINT NULL,
  UNIQUE KEY once (kind, subject, generation, number, recipient),
  KEY due (state, next_at),
  KEY of_key (key_id, id),
  KEY of_customer (customer_id, id)
);

-- A row a link. Several may lead to one secret: each reminder has its own; the first that is used
-- ends them all.
CREATE TABLE claim (
  hash BINARY(32) NOT NULL PRIMARY KEY, -- keyed hash of the token
  key_id BIGINT NOT NULL,
  generation INT NOT NULL,              -- of the secret that the claimed one follows
  issued_at BIGINT NOT NULL,
  expires_at BIGINT NULL,               -- NULL: lives as long as the old secret
  used_at BIGINT NULL,
  ended_at BIGINT NULL,                 -- used, or in vain from here on
  KEY of_key (key_id, generation),
  KEY ended (ended_at)
);

CREATE TABLE alert (
  id BIGINT NOT NULL PRIMARY KEY,
  kind VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  subject VARCHAR(80) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- 'key_…', 'node/a'
  open TINYINT NULL,                    -- 1; NULL once acknowledged: one open alert a kind and subject
  customer_id BIGINT NULL,
  detail TEXT NOT NULL,                 -- JSON object, never a secret, e-mail or name
  times INT NOT NULL DEFAULT 1,
  created_at BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  acknowledged_at BIGINT NULL,
  acknowledged_by VARCHAR(64) CHARACTER SET ascii NULL,
  UNIQUE KEY standing (kind, subject, open),
  KEY open (open, id)
);

-- The keys there are: first the notice, as their tier has it, never before the secret was made.
INSERT IGNORE INTO rotation (key_id, generation, step, status, due_at, look_at, created_at)
SELECT k.id, k.secret_version, 1, 1, GREATEST(s.created_at, k.rotates_at - t.notice_days * 86400000),
  GREATEST(s.created_at, k.rotates_at - t.notice_days * 86400000), s.created_at
FROM api_key k JOIN key_secret s ON s.key_id = k.id AND s.version = k.secret_version
JOIN entitlement e ON e.customer_id = k.customer_id JOIN tier t ON t.slug = e.tier
WHERE k.rotates_at IS NOT NULL AND k.revoked_at IS NULL;

INSERT IGNORE INTO rotation (key_id, generation, step, status, due_at, look_at, created_at)
SELECT k.id, 0, 4, 0, k.expires_at - t.notice_days * 86400000, k.expires_at - t.notice_days * 86400000,
  k.created_at
FROM api_key k JOIN entitlement e ON e.customer_id = k.customer_id JOIN tier t ON t.slug = e.tier
WHERE k.expires_at IS NOT NULL AND k.revoked_at IS NULL;

-- Overlaps under way: their end is known.
INSERT IGNORE INTO rotation (key_id, generation, step, status, due_at, look_at, created_at)
SELECT s.key_id, s.version, 3, 3, s.expires_at, s.expires_at, n.created_at
FROM key_secret s JOIN key_secret n ON n.key_id = s.key_id AND n.version = s.version + 1
JOIN api_key k ON k.id = s.key_id WHERE s.expires_at IS NOT NULL AND k.revoked_at IS NULL;
