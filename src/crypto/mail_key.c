/* The words for why a recipient's key is refused, and addresses out of its user ids. Called by
 * openpgp.c and smime.c, and by whoever tells a client; pure, any thread. What always holds: what a
 * key carries is a stranger's text, and only printable ASCII with one @ comes out of it. */
#include "crypto/mail_key.h"

static const struct {
    const char *code;
    const char *openpgp, *smime; /* NULL: does not come */
} faults[MAIL_KEY_FAULTS] = {
    [MAIL_KEY_GOOD] = {"good", "is good", "is good"},
    [MAIL_KEY_EMPTY] = {"empty", "must be an OpenPGP public key, or null for none",
                        "must be a certificate in PEM form, or null for none"},
    [MAIL_KEY_TOO_LARGE] = {"too_large",
                            "must be at most 48 KiB: export it with gpg --armor --export-options "
                            "export-minimal --export ADDRESS",
                            "must be at most 48 KiB: one certificate in PEM form, without its "
                            "chain"},
    [MAIL_KEY_MALFORMED] = {"malformed",
                            "must be an OpenPGP public key, as gpg --armor --export ADDRESS prints "
                            "it",
                            "must be a certificate in PEM form, from -----BEGIN CERTIFICATE----- "
                            "on"},
    [MAIL_KEY_SECRET] = {"secret_key",
                         "must be the public key, never the secret one: make a new key, this one "
                         "has been given away",
                         "must be a certificate alone, never a private key: make a new one, this "
                         "one has been given away"},
    [MAIL_KEY_SEVERAL] = {"several_keys", "must be one key, here are several",
                          "must be one certificate, the recipient's own, without its chain"},
    [MAIL_KEY_TOO_COMPLEX] = {"too_complex",
                              "has too many parts: export it with gpg --armor --export-options "
                              "export-minimal --export ADDRESS",
                              NULL},
    [MAIL_KEY_UNSUPPORTED] = {"unsupported",
                              "must encrypt by RSA, ElGamal or ECDH on Curve25519, a NIST or a "
                              "Brainpool curve",
                              "must hold an RSA key or one on a NIST or Brainpool curve, and no "
                              "unknown critical extension"},
    [MAIL_KEY_WEAK] = {"weak",
                       "must encrypt by at least 2048 and at most 8192 bits, or 256 of a "
                       "curve",
                       "must have an RSA key of 2048 to 8192 bits, or a curve of 256 or more"},
    [MAIL_KEY_UNSIGNED] = {"unsigned",
                           "has no user id whose own signature holds (SHA-1 is too weak): make a "
                           "new key, or sign this one anew",
                           NULL},
    [MAIL_KEY_NOT_YET_VALID] = {"not_yet_valid",
                                "begins to be valid in the future: look at the clock of the "
                                "machine that made it",
                                "begins to be valid in the future"},
    [MAIL_KEY_EXPIRED] = {"expired", "has expired: prolong it or make a new key",
                          "has expired: give the one that follows it"},
    [MAIL_KEY_REVOKED] = {"revoked", "was revoked: give another key", NULL},
    [MAIL_KEY_CANNOT_ENCRYPT] = {"cannot_encrypt",
                                 "has no subkey for encryption that can be used here: add one (gpg "
                                 "--edit-key ADDRESS addkey)",
                                 NULL},
    [MAIL_KEY_WRONG_USAGE] = {"wrong_usage", NULL,
                              "must be for encrypted mail: keyUsage keyEncipherment (RSA) or "
                              "keyAgreement, extendedKeyUsage emailProtection"},
};

const char *mail_key_fault_code(enum mail_key_fault fault)
{
    return faults[fault].code;
}

const char *mail_key_fault_text(enum mail_key_kind kind, enum mail_key_fault fault)
{
    const char *text = kind == MAIL_KEY_OPENPGP ? faults[fault].openpgp : faults[fault].smime;
    return text ? text : "cannot be used";
}

void mail_key_add_address(struct mail_key_info *info, struct span user_id)
{
    struct span address = user_id;
    if (user_id.length && user_id.data[user_id.length - 1] == '>') {
        const char *open = memrchr(user_id.data, '<', user_id.length);
        if (!open) return;
        const char *end = user_id.data + user_id.length - 1;
        address = span_of(open + 1, (size_t)(end - open - 1));
    }
    if (!mailbox_address_is_good(address) || info->address_count == MAIL_KEY_ADDRESSES_MAX) return;
    for (unsigned i = 0; i < info->address_count; i++)
        if (span_is_nocase(address, info->addresses[i])) return;
    char *out = info->addresses[info->address_count++];
    memcpy(out, address.data, address.length);
    out[address.length] = '\0';
}
