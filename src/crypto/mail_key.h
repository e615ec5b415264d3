/* A recipient's own key, to which mail is encrypted: an OpenPGP public key or an X.509 certificate.
 * What is known of it, and why one is refused. */
#ifndef KEYMETER_CRYPTO_MAIL_KEY_H
#define KEYMETER_CRYPTO_MAIL_KEY_H

#include "base/compiler.h"
#include "base/mailbox.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum mail_key_kind { MAIL_KEY_OPENPGP, MAIL_KEY_SMIME };

enum {
    MAIL_KEY_TEXT_MAX = 48 * 1024, /* bytes of a key as it is given */
    MAIL_KEY_ADDRESSES_MAX = 8,
    MAIL_KEY_ADDRESS_SIZE = MAILBOX_ADDRESS_SIZE,
    MAIL_KEY_FINGERPRINT_SIZE = 65,
    MAIL_KEY_FAULT_TEXT_MAX = 159,
};

struct mail_key_info {
    enum mail_key_kind kind;
    /* Lower-case hex: of the OpenPGP primary key (40 digits; 64 of a version 5 or 6 key), or
     * SHA-256 of the certificate. */
    char fingerprint[MAIL_KEY_FINGERPRINT_SIZE];
    char algorithm[32];  /* of what is encrypted to: "RSA 4096", "ECDH Curve25519", "EC P-256" */
    int64_t not_after_s; /* UTC seconds from which on nothing is encrypted to it; 0: no end */
    unsigned address_count;
    char addresses[MAIL_KEY_ADDRESSES_MAX][MAIL_KEY_ADDRESS_SIZE]; /* base/mailbox.h */
};

/* Why a key is refused. A key that passed when it was set may be refused later: EXPIRED. */
enum mail_key_fault {
    MAIL_KEY_GOOD = 0,
    MAIL_KEY_EMPTY,
    MAIL_KEY_TOO_LARGE,
    MAIL_KEY_MALFORMED,
    MAIL_KEY_SECRET,  /* the private half was given */
    MAIL_KEY_SEVERAL, /* more than one key or certificate */
    MAIL_KEY_TOO_COMPLEX,
    MAIL_KEY_UNSUPPORTED, /* an algorithm, curve, version or critical extension */
    MAIL_KEY_WEAK,
    MAIL_KEY_UNSIGNED, /* no self-signature that holds */
    MAIL_KEY_NOT_YET_VALID,
    MAIL_KEY_EXPIRED,
    MAIL_KEY_REVOKED,
    MAIL_KEY_CANNOT_ENCRYPT, /* an OpenPGP key that can only sign */
    MAIL_KEY_WRONG_USAGE,    /* a certificate that is not for encrypted mail */
};
enum { MAIL_KEY_FAULTS = MAIL_KEY_WRONG_USAGE + 1 };

/* The stable word: "secret_key", "expired". "good" for MAIL_KEY_GOOD. */
const char *mail_key_fault_code(enum mail_key_fault fault);
/* For people, to follow a field's name: "must be … " with the mend; at most MAIL_KEY_FAULT_TEXT_MAX
 * bytes of ASCII. */
const char *mail_key_fault_text(enum mail_key_kind kind, enum mail_key_fault fault);

/* For openpgp.c and smime.c: adds the address of a user id ("Name <a@b>" or "a@b") unless it is
 * none, stands there already, or there is no room. */
void mail_key_add_address(struct mail_key_info *info, struct span user_id);

#endif
