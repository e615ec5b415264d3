-- Finding keys: each word of a title by its beginnings, status and tier by indexes that end with the
-- key's id, and the last use by the hour. Also how imported keys are found by their own hash.

-- A row for each beginning of each word of a title, as src/core/title_words.h cuts them; the collation
-- makes upper and lower case one. Written in the transaction that writes the title.
CREATE TABLE key_word (
  word VARCHAR(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci NOT NULL,
  key_id BIGINT NOT NULL,
  PRIMARY KEY (word, key_id)
);

-- The hour of a key's last use, or of its making; the fold moves it on. Says "not since" to the hour,
-- secret_last_used says the rest.
CREATE TABLE key_activity (
  key_id BIGINT NOT NULL PRIMARY KEY,
  hour BIGINT NOT NULL,                 -- its start, wall ms
  KEY hour (hour, key_id)
);

-- tier and held are the entitlement's, kept beside it in the same transaction (store/entitlement.c).
-- state: 0 lives (or has expired), 1 disabled, 2 suspended, 3 revoked.
ALTER TABLE api_key
  ADD COLUMN tier VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
  ADD COLUMN held TINYINT NOT NULL DEFAULT 0,
  ADD COLUMN state TINYINT AS (CASE WHEN revoked_at IS NOT NULL THEN 3 WHEN suspended <> 0 OR held <> 0
    THEN 2 WHEN disabled <> 0 THEN 1 ELSE 0 END) PERSISTENT,
  ADD COLUMN ends TINYINT AS (CASE WHEN expires_at IS NULL THEN 0 ELSE 1 END) PERSISTENT,
  ADD KEY state (state, id),
  ADD KEY tier (tier, id),
  ADD KEY tier_state (tier, state, id),
  ADD KEY ending (state, ends, id);
ALTER TABLE key_secret ADD KEY overlap (expires_at, key_id);

UPDATE api_key k JOIN entitlement e ON e.customer_id = k.customer_id
SET k.tier = e.tier, k.held = e.status = 'suspended';

INSERT IGNORE INTO key_activity (key_id, hour)
SELECT k.id, GREATEST(k.created_at, COALESCE(MAX(u.last_used_at), 0)) DIV 3600000 * 3600000
FROM api_key k LEFT JOIN key_secret s ON s.key_id = k.id
LEFT JOIN secret_last_used u ON u.secret_id = s.id GROUP BY k.id;

INSERT IGNORE INTO key_word (word, key_id)
WITH RECURSIVE place (at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM place WHERE at < 200),
parted (id, at, character_at, separates) AS (
  SELECT k.id, p.at, SUBSTRING(k.title, p.at, 1), SUBSTRING(k.title, p.at, 1) RLIKE
    '[\\x{00}-\\x{2F}\\x{3A}-\\x{40}\\x{5B}-\\x{60}\\x{7B}-\\x{A9}\\x{AB}-\\x{B4}\\x{B6}-\\x{B9}\\x{BB}-\\x{BF}\\x{D7}\\x{F7}\\x{1680}\\x{2000}-\\x{200B}\\x{200E}-\\x{206F}\\x{2E00}-\\x{2E7F}\\x{3000}-\\x{3004}\\x{3008}-\\x{3020}\\x{3030}\\x{FE10}-\\x{FE1F}\\x{FE30}-\\x{FE6F}\\x{FF00}-\\x{FF0F}\\x{FF1A}-\\x{FF20}\\x{FF3B}-\\x{FF40}\\x{FF5B}-\\x{FF65}]'
  FROM api_key k JOIN place p ON p.at <= CHAR_LENGTH(k.title)),
started (id, at, separates, first) AS (
  SELECT id, at, separates, MAX(IF(separates, at, 0)) OVER (PARTITION BY id ORDER BY at) + 1 FROM parted)
SELECT SUBSTRING(k.title, s.first, s.at - s.first + 1), s.id
FROM started s JOIN api_key k ON k.id = s.id WHERE NOT s.separates AND s.at - s.first < 32;

-- How an imported hash was made: 'sha256', or an HMAC key by the id that stands in key_hash.pepper_id.
CREATE TABLE import_source (
  id CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  mark BINARY(16) NOT NULL,             -- keyed hash of the HMAC key: tells one from another
  sealed VARBINARY(256) NULL,           -- crypto/envelope; NULL: no key
  created_at BIGINT NOT NULL
);
