-- From which networks a secret that was replaced is still used; written by the fold while there is an overlap.
CREATE TABLE secret_network (
  secret_id BIGINT NOT NULL,
  network VARBINARY(16) NOT NULL,       -- 4 or 16 bytes, host bits clear (/24, /64)
  last_used_at BIGINT NOT NULL,
  PRIMARY KEY (secret_id, network),
  KEY used (last_used_at)
);
