-- What was paid for, when it is read again at the provider, its events, and approvals of admins.

-- status: also 'downgraded', on free since the payment ended (src/core/entitlement.h).
ALTER TABLE entitlement
  ADD COLUMN payment_status VARCHAR(20) CHARACTER SET ascii NULL, -- the provider's word, as last read
  ADD COLUMN paid_tier VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '', -- bought
  ADD COLUMN later_tier VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  ADD COLUMN later_at BIGINT NULL,
  ADD COLUMN paid_until BIGINT NULL,
  ADD COLUMN refunded_at BIGINT NULL,
  ADD COLUMN lapses INT NOT NULL DEFAULT 0,
  ADD COLUMN reminded INT NOT NULL DEFAULT 0,
  ADD COLUMN look_at BIGINT NULL,       -- when the clock changes it next
  ADD KEY look (look_at);
UPDATE entitlement SET payment_status = 'active', paid_tier = tier, paid_until = period_end
WHERE provider <> 'none';

-- A row a customer that a provider answers for: the durable work of reading it again.
CREATE TABLE payment_read (
  customer_id BIGINT NOT NULL PRIMARY KEY,
  urgent TINYINT NOT NULL DEFAULT 0,    -- 1: an event asked for it
  read_at BIGINT NOT NULL,              -- when it is due
  asked BIGINT NOT NULL DEFAULT 0,      -- events so far
  begun BIGINT NOT NULL DEFAULT 0,      -- readings so far, also those under way
  applied BIGINT NOT NULL DEFAULT 0,    -- the newest that was applied: older ones come too late
  failures INT NOT NULL DEFAULT 0,      -- in a row
  charge VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL, -- an event says it was taken back
  provider_customer VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL, -- 'cus_…' at Stripe
  KEY due (urgent, read_at),
  KEY provider_customer (provider_customer)
);
INSERT INTO payment_read (customer_id, read_at)
SELECT customer_id, 0 FROM entitlement WHERE provider = 'http' AND resolved_reference IS NOT NULL;

-- Each event once.
CREATE TABLE provider_event (
  provider VARCHAR(16) CHARACTER SET ascii NOT NULL,
  id VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  received_at BIGINT NOT NULL,
  PRIMARY KEY (provider, id),
  KEY received (received_at)
);

CREATE TABLE payment_approval (
  id BIGINT NOT NULL PRIMARY KEY,
  customer_id BIGINT NOT NULL,
  tier VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  until BIGINT NOT NULL,
  note VARCHAR(1000) NOT NULL,
  created_at BIGINT NOT NULL,
  created_by VARCHAR(64) CHARACTER SET ascii NOT NULL,
  KEY of_customer (customer_id, id)
);
