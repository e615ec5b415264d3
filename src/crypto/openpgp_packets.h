/* A look at an OpenPGP key's packets before librnp reads it: that it is one public key, and that
 * nothing in it takes long. Pure, any thread. */
#ifndef KEYMETER_CRYPTO_OPENPGP_PACKETS_H
#define KEYMETER_CRYPTO_OPENPGP_PACKETS_H

#include "base/compiler.h"
#include "base/span.h"
#include "crypto/mail_key.h"

/* `armored` text (RFC 9580, section 6): cuts *block, from the BEGIN line to the end of the END
 * line. Texts before and behind are passed over. MALFORMED, SECRET, SEVERAL. */
MUST_USE enum mail_key_fault openpgp_armor_find(struct span text, struct span *block);

/* Whether it begins as a binary packet does. */
bool openpgp_is_binary(struct span text);

/* The packets of one transferable public key (RFC 9580, sections 4.2 and 10.1). MALFORMED, SECRET,
 * SEVERAL, TOO_COMPLEX, WEAK (numbers of more bits than are of use). */
MUST_USE enum mail_key_fault openpgp_packets_check(struct span key);

#endif
