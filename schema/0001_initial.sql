-- The first schema. Times are milliseconds since 1970 in UTC, written by Keymeter's clock, never NOW().
-- Ids are 63-bit and sortable by time (src/base/codec.h). No foreign keys from journal, usage, lease
-- and outbox: the fold must never fail on content.

CREATE TABLE credential (
  kind VARCHAR(8) NOT NULL,             -- 'master' or 'pepper'
  id CHAR(8) NOT NULL,                  -- the key's id, stands beside everything made with it
  check_value BINARY(16) NOT NULL,      -- keyed hash of a constant: tells a wrong key of the right id
  created_at BIGINT NOT NULL,
  PRIMARY KEY (kind, id)
) CHARACTER SET ascii COLLATE ascii_bin;

CREATE TABLE tier (
  slug VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  name VARCHAR(100) NOT NULL,
  monthly_quota BIGINT NULL,
  overage VARCHAR(8) NOT NULL,
  rate_limits TEXT NOT NULL,            -- JSON [{"name","limit","window_seconds"}]
  max_keys INT NOT NULL,
  requires_payment TINYINT NOT NULL,
  label VARCHAR(40) CHARACTER SET ascii NOT NULL,
  rotation_days INT NOT NULL,
  notice_days INT NOT NULL,
  grace_seconds INT NOT NULL,
  hard_stop_days INT NOT NULL,
  max_overlap_days INT NOT NULL,
  on_unclaimed VARCHAR(8) NOT NULL,
  on_lapse VARCHAR(8) NOT NULL,
  permissions TEXT NOT NULL,            -- JSON [names], what keys of the tier may be granted
  price_references TEXT NOT NULL,       -- JSON [names]
  ack VARCHAR(8) NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE TABLE customer (
  id BIGINT NOT NULL PRIMARY KEY,
  external_id VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NULL UNIQUE, -- NULL once erased
  email_sealed VARBINARY(512) NULL,     -- crypto/envelope
  email_index BINARY(16) NULL,          -- blind index of the lower-cased address
  name_sealed VARBINARY(1024) NULL,
  openpgp_key MEDIUMTEXT NULL,
  smime_certificate MEDIUMTEXT NULL,
  metadata TEXT NOT NULL,               -- JSON object
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT NULL,
  KEY email (email_index)
);

-- What a customer is entitled to: one row a customer, the only source of its tier.
CREATE TABLE entitlement (
  customer_id BIGINT NOT NULL PRIMARY KEY,
  tier VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  provider VARCHAR(16) CHARACTER SET ascii NOT NULL,  -- 'none', 'http', 'stripe', 'approval'
  reference VARCHAR(255) NULL,
  resolved_reference VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  status VARCHAR(16) CHARACTER SET ascii NOT NULL,    -- 'active', 'past_due', 'suspended'
  period_start BIGINT NULL,
  period_end BIGINT NULL,
  grace_until BIGINT NULL,
  updated_at BIGINT NOT NULL,
  UNIQUE KEY reference (provider, resolved_reference),
  KEY tier (tier)
);

CREATE TABLE api_key (
  id BIGINT NOT NULL PRIMARY KEY,
  customer_id BIGINT NOT NULL,
  title VARCHAR(200) NOT NULL,
  description VARCHAR(1000) NOT NULL,
  environment VARCHAR(4) CHARACTER SET ascii NOT NULL, -- 'live', 'test'
  label VARCHAR(40) CHARACTER SET ascii NOT NULL,
  permissions TEXT NOT NULL,            -- JSON [names]
  rate_limits TEXT NOT NULL,            -- JSON, replaces the tier's of the same name
  monthly_cap BIGINT NULL,
  allowed_networks TEXT NOT NULL,       -- JSON [CIDR]; empty: any
  metadata TEXT NOT NULL,               -- JSON object
  disabled TINYINT NOT NULL DEFAULT 0,
  suspended TINYINT NOT NULL DEFAULT 0,
  revoked_at BIGINT NULL,
  expires_at BIGINT NULL,
  rotates_at BIGINT NULL,
  secret_version INT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  KEY customer (customer_id, id),
  KEY living (customer_id, revoked_at)  -- how many keys a customer has, without reading their rows
);

CREATE TABLE key_secret (
  id BIGINT NOT NULL PRIMARY KEY,
  key_id BIGINT NOT NULL,
  version INT NOT NULL,
  start VARCHAR(10) NOT NULL,
  fingerprint CHAR(8) CHARACTER SET ascii NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NULL,               -- end of the overlap; NULL: the current secret
  UNIQUE KEY version (key_id, version)
);

-- How a presented secret is found. Ready for imports by other algorithms.
CREATE TABLE key_hash (
  hash BINARY(32) NOT NULL,
  algorithm VARCHAR(16) CHARACTER SET ascii NOT NULL, -- 'blake2b'
  pepper_id CHAR(8) CHARACTER SET ascii NOT NULL,
  secret_id BIGINT NOT NULL,
  PRIMARY KEY (hash, algorithm, pepper_id),
  KEY secret (secret_id)
);

-- Written by the fold alone, so that verifying never touches the key's rows.
CREATE TABLE secret_last_used (
  secret_id BIGINT NOT NULL PRIMARY KEY,
  last_used_at BIGINT NOT NULL,
  network VARBINARY(16) NOT NULL        -- 4 or 16 bytes, host bits cleared (/24, /64); empty: unknown
);

CREATE TABLE token (
  id BIGINT NOT NULL PRIMARY KEY,
  name VARCHAR(100) NOT NULL,
  scopes VARCHAR(200) CHARACTER SET ascii NOT NULL,   -- space-separated, sorted
  permissions TEXT NULL,                -- JSON [names]: keys made with it stay within them
  hash BINARY(32) NOT NULL UNIQUE,
  start VARCHAR(10) NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NULL,
  revoked_at BIGINT NULL
);

-- The change feed's position and the audit chain's head: one lock for all, taken last.
CREATE TABLE feed_head (
  id TINYINT NOT NULL PRIMARY KEY,
  position BIGINT NOT NULL,
  audit_sequence BIGINT NOT NULL,
  audit_hash BINARY(32) NOT NULL
);

CREATE TABLE feed (
  position BIGINT NOT NULL PRIMARY KEY,
  tag BIGINT NOT NULL,                  -- random: tells a row that was seen but never became durable
  kind TINYINT NOT NULL,                -- store/feed.h
  subject BIGINT NOT NULL,
  hash BINARY(32) NULL,
  slug VARCHAR(40) CHARACTER SET ascii NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE audit (
  sequence BIGINT NOT NULL PRIMARY KEY,
  id BIGINT NOT NULL UNIQUE,
  at BIGINT NOT NULL,
  actor VARCHAR(64) CHARACTER SET ascii NOT NULL,     -- 'tok_…', 'system', 'cli'
  action VARCHAR(64) CHARACTER SET ascii NOT NULL,    -- 'key.create'
  subject VARCHAR(64) CHARACTER SET ascii NOT NULL,   -- 'key_…', 'cus_…', 'tier/free'
  customer_id BIGINT NULL,
  address VARCHAR(45) CHARACTER SET ascii NOT NULL,   -- the peer's, or empty
  request_id VARCHAR(64) CHARACTER SET ascii NOT NULL,
  detail TEXT NOT NULL,                 -- JSON object, never a secret, e-mail or name
  hash BINARY(32) NOT NULL,             -- crypto/audit_chain
  KEY customer (customer_id, sequence),
  KEY subject (subject, sequence)
);

-- A row an incarnation of a node; see docs/ARCHITECTURE.md, "fencing".
CREATE TABLE node_name (
  name VARCHAR(64) CHARACTER SET ascii NOT NULL PRIMARY KEY,
  id SMALLINT NOT NULL UNIQUE
);
CREATE TABLE node (
  id SMALLINT NOT NULL,
  incarnation INT NOT NULL,
  tag BIGINT NOT NULL DEFAULT 0,        -- random, of the process: tells it from another of the same name
  fenced TINYINT NOT NULL DEFAULT 0,
  fenced_at BIGINT NOT NULL DEFAULT 0,
  started_at BIGINT NOT NULL,
  PRIMARY KEY (id, incarnation)
);
-- Apart from node, so that a heartbeat never waits for those who hold the node's row in share mode.
CREATE TABLE node_heartbeat (
  node SMALLINT NOT NULL,
  incarnation INT NOT NULL,
  heartbeat BIGINT NOT NULL DEFAULT 0,  -- a counter, not a time
  connection BIGINT NOT NULL,           -- the server's id of the one that sent it
  sent_at BIGINT NOT NULL,              -- tells a server that was started since, and counts its ids anew
  PRIMARY KEY (node, incarnation)
);

CREATE TABLE meter_journal (
  node SMALLINT NOT NULL,
  incarnation INT NOT NULL,
  seq BIGINT NOT NULL,
  payload MEDIUMBLOB NOT NULL,          -- core/journal.h
  PRIMARY KEY (node, incarnation, seq)
);
CREATE TABLE fold_owner (
  node SMALLINT NOT NULL,
  incarnation INT NOT NULL,
  folded BIGINT NOT NULL DEFAULT 0,     -- the newest seq that is folded
  PRIMARY KEY (node, incarnation)
);

-- kind 1: a customer's monthly quota; kind 2: a key's monthly cap.
CREATE TABLE budget (
  kind TINYINT NOT NULL,
  subject BIGINT NOT NULL,
  period_start BIGINT NOT NULL,
  used BIGINT NOT NULL DEFAULT 0,       -- folded
  leased BIGINT NOT NULL DEFAULT 0,     -- sum over leases of granted - settled
  exhausted TINYINT NOT NULL DEFAULT 0, -- a node holds a verdict: units that come back clear it
  PRIMARY KEY (kind, subject, period_start),
  KEY period (period_start)
);
CREATE TABLE lease (
  node SMALLINT NOT NULL,
  incarnation INT NOT NULL,
  kind TINYINT NOT NULL,
  subject BIGINT NOT NULL,
  period_start BIGINT NOT NULL,
  granted BIGINT NOT NULL,              -- in all, less what was handed back
  settled BIGINT NOT NULL DEFAULT 0,    -- folded
  zero_at TINYINT NOT NULL DEFAULT 0,   -- 1: nothing unspent since the last take
  PRIMARY KEY (node, incarnation, kind, subject, period_start),
  KEY budget (kind, subject, period_start),
  KEY period (period_start)
);

CREATE TABLE usage_hour (
  key_id BIGINT NOT NULL,
  hour BIGINT NOT NULL,                 -- its start
  customer_id BIGINT NOT NULL,
  period_start BIGINT NOT NULL,
  units BIGINT NOT NULL DEFAULT 0,      -- charged to the quota
  allowed BIGINT NOT NULL DEFAULT 0,    -- calls
  denied_quota BIGINT NOT NULL DEFAULT 0,
  denied_rate BIGINT NOT NULL DEFAULT 0,
  denied_other BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (key_id, hour, period_start),
  KEY customer (customer_id, hour)
);

CREATE TABLE outbox (
  id BIGINT NOT NULL PRIMARY KEY,
  kind VARCHAR(32) CHARACTER SET ascii NOT NULL,
  subject BIGINT NOT NULL,
  generation INT NOT NULL,
  recipient BINARY(16) NOT NULL,        -- blind index of the address
  customer_id BIGINT NOT NULL,
  key_id BIGINT NULL,
  state VARCHAR(8) CHARACTER SET ascii NOT NULL,
  attempts INT NOT NULL DEFAULT 0,
  due_at BIGINT NOT NULL,
  node SMALLINT NULL,
  incarnation INT NULL,
  payload MEDIUMBLOB NOT NULL,
  created_at BIGINT NOT NULL,
  sent_at BIGINT NULL,
  UNIQUE KEY once (kind, subject, generation, recipient),
  KEY due (state, due_at)
);

INSERT INTO feed_head (id, position, audit_sequence, audit_hash) VALUES (1, 1, 0, REPEAT(CHAR(0), 32));
INSERT INTO feed (position, tag, kind, subject, created_at) VALUES (1, 1, 0, 0, 0);
INSERT INTO tier (slug, name, monthly_quota, overage, rate_limits, max_keys, requires_payment, label, rotation_days, notice_days, grace_seconds, hard_stop_days, max_overlap_days, on_unclaimed, on_lapse, permissions, price_references, ack, created_at, updated_at) VALUES
('free', 'Free', 1000, 'block', '[{"name":"minute","limit":100,"window_seconds":60},{"name":"second","limit":10,"window_seconds":1}]', 1, 0, 'km_live', 90, 7, 86400, 7, 30, 'keep', 'suspend', '["csv_export","user_info","sso_verify"]', '[]', 'commit', 0, 0),
('pro', 'Pro', 100000, 'block', '[{"name":"minute","limit":600,"window_seconds":60},{"name":"second","limit":50,"window_seconds":1}]', 10, 1, 'km_live', 90, 7, 86400, 7, 30, 'keep', 'suspend', '["csv_export","user_info","sso_verify"]', '[]', 'commit', 0, 0),
('enterprise', 'Enterprise', NULL, 'block', '[{"name":"minute","limit":6000,"window_seconds":60},{"name":"second","limit":500,"window_seconds":1}]', 100, 1, 'km_live', 90, 7, 86400, 7, 30, 'keep', 'suspend', '["csv_export","user_info","sso_verify"]', '[]', 'commit', 0, 0);
