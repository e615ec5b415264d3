-- Notices at 80 % and 100 % of a quota. The fold that sees a threshold reached adds a row to quota_due in
-- its own transaction; the step behind it, by any node, tells it, writes that down, and deletes the row.
CREATE TABLE quota_due (
  id BIGINT NOT NULL PRIMARY KEY AUTO_INCREMENT,
  customer_id BIGINT NOT NULL,
  period_start BIGINT NOT NULL
);
CREATE TABLE quota_told (
  customer_id BIGINT NOT NULL,
  period_start BIGINT NOT NULL,
  told_80 BIGINT NOT NULL DEFAULT 0,    -- the highest limit of which 80 % was told; 0: none
  told_100 BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (customer_id, period_start),
  KEY period (period_start)
);
