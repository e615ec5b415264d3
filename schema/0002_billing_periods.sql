-- A customer's months begin where its billing does: src/core/period.h, struct period_rule. 0, 0, 0: with
-- the calendar's.
ALTER TABLE entitlement
  ADD COLUMN anchor BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN kept_start BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN kept_until BIGINT NOT NULL DEFAULT 0;
