-- People who use the dashboard, their invitations and sessions. Links and cookies are kept as keyed hashes.

CREATE TABLE admin (
  id BIGINT NOT NULL PRIMARY KEY,
  email VARCHAR(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL UNIQUE, -- lower case; its own staff's
  name VARCHAR(100) NOT NULL,
  role VARCHAR(8) CHARACTER SET ascii NOT NULL,        -- src/core/admin_role.h
  password VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- argon2id
  totp_sealed VARBINARY(128) NULL,                     -- crypto/envelope; NULL: no second factor
  totp_step BIGINT NOT NULL DEFAULT 0,                 -- the newest that was used: no code works twice
  disabled_at BIGINT NULL,
  signed_in_at BIGINT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE TABLE admin_invite (
  id BIGINT NOT NULL PRIMARY KEY,
  hash BINARY(32) NOT NULL UNIQUE,
  role VARCHAR(8) CHARACTER SET ascii NOT NULL,
  admin_id BIGINT NULL,                                -- whose password it sets anew; NULL: a new admin's
  created_by VARCHAR(64) CHARACTER SET ascii NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at BIGINT NULL                                  -- or withdrawn
);

CREATE TABLE admin_session (
  id BIGINT NOT NULL PRIMARY KEY,
  hash BINARY(32) NOT NULL UNIQUE,
  admin_id BIGINT NOT NULL,
  waiting TINYINT NOT NULL,                            -- 1: the password was right, the code is to come
  address VARCHAR(45) CHARACTER SET ascii NOT NULL,
  agent VARCHAR(200) NOT NULL,
  created_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,                             -- to the minute
  ends_at BIGINT NOT NULL,
  KEY of_admin (admin_id, id),
  KEY ends (ends_at)
);
