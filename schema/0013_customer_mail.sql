-- How mail to a customer is made: in which language, and whether S/MIME is to be in the older form.
ALTER TABLE customer
  ADD COLUMN language VARCHAR(35) CHARACTER SET ascii NULL, -- NULL: that of mail.language
  ADD COLUMN smime_cbc TINYINT NOT NULL DEFAULT 0;
