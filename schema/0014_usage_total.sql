-- All keys' calls by hour, written by the fold, so that an overview does not read every key's row.
CREATE TABLE usage_total (
  hour BIGINT NOT NULL PRIMARY KEY,
  allowed BIGINT NOT NULL DEFAULT 0,
  denied_quota BIGINT NOT NULL DEFAULT 0,
  denied_rate BIGINT NOT NULL DEFAULT 0,
  denied_other BIGINT NOT NULL DEFAULT 0
);
INSERT INTO usage_total (hour, allowed, denied_quota, denied_rate, denied_other)
SELECT hour, SUM(allowed), SUM(denied_quota), SUM(denied_rate), SUM(denied_other) FROM usage_hour GROUP BY hour;
