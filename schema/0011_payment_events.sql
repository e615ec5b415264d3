-- What events of a payment provider name beside, or instead of, the customer.
ALTER TABLE payment_read
  ADD COLUMN session VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL; -- completed: bought anew?

-- Charges whose customer an event does not name: the provider is asked whose they are.
CREATE TABLE payment_charge (
  provider VARCHAR(16) CHARACTER SET ascii NOT NULL,
  id VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  read_at BIGINT NOT NULL,              -- when it is due
  begun BIGINT NOT NULL DEFAULT 0,      -- readings so far, also one under way
  failures INT NOT NULL DEFAULT 0,      -- in a row
  PRIMARY KEY (provider, id),
  KEY due (read_at)
);
