-- A claim link's token is made when its mail is sent, and stands nowhere else. Mails that wait with a
-- token of the former kind get a new one; what was mailed before works on.

ALTER TABLE outbox
  ADD COLUMN with_link TINYINT NOT NULL DEFAULT 0; -- a claim link, to the secret that follows the generation

UPDATE outbox SET with_link = 1 WHERE token_sealed IS NOT NULL;

ALTER TABLE outbox DROP COLUMN token_sealed;
