/* Encryption to OpenPGP keys by librnp. Called by mail_seal.c on a worker thread; a struct openpgp
 * is one thread's. What always holds: a key that is kept from an earlier mail was read from the
 * very same bytes, at most an hour ago, and its end is looked at before each use.
 *
 * Reading an RSA key takes librnp several times as long as encrypting to it: hence the keeping. */
#include "crypto/openpgp.h"

#include "crypto/openpgp_key.h"
#include "crypto/openpgp_quiet.h"

#include <sodium.h>
#include <stdlib.h>

enum {
    KEPT_MAX = 64, /* keys, a few KiB each */
    KEPT_S = 3600, /* how long what was judged counts: signatures may end too */
    HASH_SIZE = 32,
    OVERHEAD_MAX = 16 * 1024, /* of a message, beyond its base64 */
    /* What librnp's streams leave on the stack: five of 32 KiB, plaintext in some. */
    STACK_USED = 256 * 1024,
};

struct kept {
    unsigned char hash[HASH_SIZE]; /* of the key's text */
    struct openpgp_key key;        /* ffi NULL: free */
    int64_t read_s;
    uint64_t used; /* by the count of calls: the least is given up first */
};

struct openpgp {
    struct kept kept[KEPT_MAX];
    uint64_t calls;
};

enum err openpgp_new(struct openpgp **out)
{
    *out = NULL;
    if (rnp_version() == rnp_version_for(0, 18, 0) || sodium_init() < 0) return ERR_CRYPTO;
    *out = calloc(1, sizeof **out);
    return *out ? ERR_OK : ERR_NO_MEMORY;
}

static void kept_drop(struct kept *kept)
{
    openpgp_key_close(&kept->key);
    *kept = (struct kept){0};
}

void openpgp_free(struct openpgp **openpgp)
{
    if (!*openpgp) return;
    openpgp_quiet_begin();
    for (unsigned i = 0; i < KEPT_MAX; i++)
        kept_drop(&(*openpgp)->kept[i]);
    openpgp_quiet_end();
    free(*openpgp);
    *openpgp = NULL;
}

/* ---- keys that are kept ---- */

static bool is_fresh(const struct kept *kept, int64_t now_s)
{
    if (now_s < kept->read_s || now_s - kept->read_s >= KEPT_S) return false;
    return !kept->key.not_after_s || now_s < kept->key.not_after_s;
}

/* The place of the key with that hash, or the one to read it into; then its ffi is NULL. */
static struct kept *kept_find(struct openpgp *openpgp, const unsigned char *hash, int64_t now_s)
{
    struct kept *oldest = &openpgp->kept[0];
    for (unsigned i = 0; i < KEPT_MAX; i++) {
        struct kept *kept = &openpgp->kept[i];
        if (kept->key.ffi && !memcmp(kept->hash, hash, HASH_SIZE)) {
            if (is_fresh(kept, now_s)) return kept;
            oldest = kept;
            break;
        }
        if (kept->used < oldest->used) oldest = kept;
    }
    kept_drop(oldest);
    return oldest;
}

static enum err key_get(struct openpgp *openpgp, struct span text, int64_t now_s,
                        const struct openpgp_key **out, enum mail_key_fault *fault)
{
    unsigned char hash[HASH_SIZE];
    struct mail_key_info info = {0};
    crypto_generichash(hash, sizeof hash, (const unsigned char *)text.data, text.length, NULL, 0);
    struct kept *kept = kept_find(openpgp, hash, now_s);
    if (!kept->key.ffi) {
        enum err error = openpgp_key_open(&kept->key, text, now_s, &info, fault);
        if (error != ERR_OK) {
            kept_drop(kept);
            return error;
        }
        memcpy(kept->hash, hash, sizeof hash);
        kept->read_s = now_s;
    }
    kept->used = ++openpgp->calls;
    *out = &kept->key;
    return ERR_OK;
}

/* ---- encryption ---- */

static rnp_result_t operation_set(rnp_op_encrypt_t operation, rnp_key_handle_t recipient)
{
    rnp_result_t result = rnp_op_encrypt_add_recipient(operation, recipient);
    if (!result) result = rnp_op_encrypt_set_armor(operation, true);
    if (!result) result = rnp_op_encrypt_set_cipher(operation, RNP_ALGNAME_AES_256);
    if (!result) result = rnp_op_encrypt_set_aead(operation, "None");
    if (!result) result = rnp_op_encrypt_set_compression(operation, "Uncompressed", 0);
    if (!result) result = rnp_op_encrypt_set_file_name(operation, "");
    if (!result) result = rnp_op_encrypt_set_file_mtime(operation, 0);
    return result;
}

static rnp_result_t operation_run(const struct openpgp_key *key, rnp_input_t input,
                                  rnp_output_t output)
{
    rnp_op_encrypt_t operation = NULL;
    rnp_result_t result = rnp_op_encrypt_create(&operation, key->ffi, input, output);
    if (!result) result = operation_set(operation, key->recipient);
    if (!result) result = rnp_op_encrypt_execute(operation);
    if (operation) rnp_op_encrypt_destroy(operation);
    sodium_stackzero(STACK_USED);
    return result;
}

static enum err encrypt(const struct openpgp_key *key, struct span plain, struct buf *out)
{
    rnp_input_t input = NULL;
    rnp_output_t output = NULL;
    uint8_t *sealed = NULL;
    size_t length = 0;
    rnp_result_t result =
        rnp_input_from_memory(&input, (const uint8_t *)plain.data, plain.length, false);
    if (!result) result = rnp_output_to_memory(&output, 2 * plain.length + OVERHEAD_MAX);
    if (!result) result = operation_run(key, input, output);
    if (!result) result = rnp_output_memory_get_buf(output, &sealed, &length, false);
    enum err error = openpgp_error(result);
    struct span message = span_of(sealed, length);
    if (error == ERR_OK && !span_starts(message, "-----BEGIN PGP MESSAGE-----\r\n"))
        error = ERR_CRYPTO;
    if (error == ERR_OK) buf_add_span(out, message);
    if (input) rnp_input_destroy(input);
    if (output) rnp_output_destroy(output);
    return error;
}

/* ---- the calls ---- */

/* A key may be well-formed and yet be no key, which only shows when it is used. */
static bool trial_works(const struct openpgp_key *key)
{
    CLEANUP(buf_done) struct buf out = {0};
    return encrypt(key, SPAN("trial"), &out) == ERR_OK;
}

enum err openpgp_check(struct span text, int64_t now_s, struct mail_key_info *info,
                       enum mail_key_fault *fault)
{
    struct openpgp_key key;
    openpgp_quiet_begin();
    enum err error = openpgp_key_open(&key, text, now_s, info, fault);
    if (error == ERR_OK && !trial_works(&key)) *fault = MAIL_KEY_UNSUPPORTED;
    if (error == ERR_OK) openpgp_key_describe(&key, info);
    openpgp_key_close(&key);
    openpgp_quiet_end();
    return error;
}

enum err openpgp_seal(struct openpgp *openpgp, struct span text, int64_t now_s, struct span plain,
                      struct buf *out, enum mail_key_fault *fault)
{
    const struct openpgp_key *key = NULL;
    openpgp_quiet_begin();
    enum err error = key_get(openpgp, text, now_s, &key, fault);
    if (error == ERR_OK) error = encrypt(key, plain, out);
    openpgp_quiet_end();
    return error;
}
