/* Addresses and ids of mail, as narrowly as RFC 5322 allows: what passes can stand in a header and
 * in SMTP without quotes. Pure, any thread. */
#ifndef KEYMETER_CORE_MAIL_ADDRESS_H
#define KEYMETER_CORE_MAIL_ADDRESS_H

#include "base/compiler.h"
#include "base/span.h"

#include <stdbool.h>

enum { MAIL_ADDRESS_MAX = 254, MAIL_LOCAL_MAX = 64 }; /* bytes (RFC 5321, section 4.5.3.1) */

/* `local@domain`: the local part a dot-atom in ASCII, the domain of names by letters, digits and
 * hyphens (one name alone is enough). No quoted local parts, no address literals, no comments; a
 * domain beyond ASCII is given as xn--…. */
MUST_USE bool mail_address_valid(struct span address);

/* A Message-ID without its angle brackets: two dot-atoms with an @, at most 250 bytes. */
MUST_USE bool mail_id_valid(struct span id);

#endif
