/* Reads and judges OpenPGP keys by librnp. Called by openpgp.c on a worker thread; a key is one
 * thread's. What always holds: the time is the caller's (librnp's own clock is set to it), what
 * librnp says of expiry is checked once more here, and librnp sees only what openpgp_packets.c has
 * let pass.
 *
 * librnp brings json-c along, whose names are also jansson's: its header is never included with
 * base/json.h, and both libraries' symbols are versioned. */
#include "crypto/openpgp_key.h"

#include "crypto/openpgp_packets.h"

#include <rnp/rnp_err.h>
#include <stdio.h>

enum {
    BITS_MIN = 2048,
    CURVE_BITS_MIN = 255,
    BINARY_MAX = MAIL_KEY_TEXT_MAX,
};

static void input_done(rnp_input_t *input)
{
    if (*input) rnp_input_destroy(*input);
}

static void output_done(rnp_output_t *output)
{
    if (*output) rnp_output_destroy(*output);
}

static void key_done(rnp_key_handle_t *key)
{
    if (*key) rnp_key_handle_destroy(*key);
    *key = NULL;
}

static void text_done(char **text)
{
    rnp_buffer_destroy(*text);
}

enum err openpgp_error(rnp_result_t result)
{
    if (result == RNP_SUCCESS) return ERR_OK;
    return result == RNP_ERROR_OUT_OF_MEMORY ? ERR_NO_MEMORY : ERR_CRYPTO;
}

/* ---- a key is read ---- */

/* The one key that librnp took; NULL with RNP_SUCCESS: it took none. */
static rnp_result_t primary_find(struct openpgp_key *key)
{
    rnp_identifier_iterator_t iterator = NULL;
    const char *fingerprint = NULL;
    rnp_result_t result = rnp_identifier_iterator_create(key->ffi, &iterator, "fingerprint");
    while (result == RNP_SUCCESS && !key->primary) {
        rnp_key_handle_t found = NULL;
        bool primary = false;
        result = rnp_identifier_iterator_next(iterator, &fingerprint);
        if (result != RNP_SUCCESS || !fingerprint) break;
        result = rnp_locate_key(key->ffi, "fingerprint", fingerprint, &found);
        if (result == RNP_SUCCESS && found) result = rnp_key_is_primary(found, &primary);
        if (result == RNP_SUCCESS && primary)
            key->primary = found;
        else
            key_done(&found);
    }
    if (iterator) rnp_identifier_iterator_destroy(iterator);
    return result;
}

static enum err binary_import(struct openpgp_key *key, struct span binary,
                              enum mail_key_fault *fault)
{
    CLEANUP(input_done) rnp_input_t input = NULL;
    *fault = openpgp_packets_check(binary);
    if (*fault != MAIL_KEY_GOOD) return ERR_INVALID;
    rnp_result_t result =
        rnp_input_from_memory(&input, (const uint8_t *)binary.data, binary.length, false);
    if (result != RNP_SUCCESS) return openpgp_error(result);
    /* Permissive: a subkey or signature of a kind that librnp does not know is left out. */
    result = rnp_import_keys(key->ffi, input, RNP_LOAD_SAVE_PUBLIC_KEYS | RNP_LOAD_SAVE_PERMISSIVE,
                             NULL);
    if (result == RNP_ERROR_OUT_OF_MEMORY) return ERR_NO_MEMORY;
    *fault = MAIL_KEY_MALFORMED;
    if (result != RNP_SUCCESS) return ERR_INVALID;
    result = primary_find(key);
    if (result != RNP_SUCCESS) return openpgp_error(result);
    *fault = key->primary ? MAIL_KEY_GOOD : MAIL_KEY_UNSUPPORTED;
    return key->primary ? ERR_OK : ERR_INVALID;
}

static enum err armored_import(struct openpgp_key *key, struct span text,
                               enum mail_key_fault *fault)
{
    CLEANUP(input_done) rnp_input_t input = NULL;
    CLEANUP(output_done) rnp_output_t output = NULL;
    struct span block;
    uint8_t *binary = NULL;
    size_t length = 0;
    *fault = openpgp_armor_find(text, &block);
    if (*fault != MAIL_KEY_GOOD) return ERR_INVALID;
    rnp_result_t result =
        rnp_input_from_memory(&input, (const uint8_t *)block.data, block.length, false);
    if (result == RNP_SUCCESS) result = rnp_output_to_memory(&output, BINARY_MAX);
    if (result != RNP_SUCCESS) return openpgp_error(result);
    *fault = MAIL_KEY_MALFORMED;
    if (rnp_dearmor(input, output) != RNP_SUCCESS) return ERR_INVALID;
    result = rnp_output_memory_get_buf(output, &binary, &length, false);
    if (result != RNP_SUCCESS || !length) return ERR_INVALID;
    return binary_import(key, span_of(binary, length), fault);
}

/* ---- a key is judged ---- */

/* Why a key or subkey that may encrypt is not valid at `now_s`. */
static enum mail_key_fault invalid_why(rnp_key_handle_t key, int64_t now_s)
{
    bool revoked = false, expired = false;
    uint32_t created = 0;
    if (rnp_key_is_revoked(key, &revoked) == RNP_SUCCESS && revoked) return MAIL_KEY_REVOKED;
    if (rnp_key_is_expired(key, &expired) == RNP_SUCCESS && expired) return MAIL_KEY_EXPIRED;
    if (rnp_key_get_creation(key, &created) == RNP_SUCCESS && created > now_s)
        return MAIL_KEY_NOT_YET_VALID;
    return MAIL_KEY_UNSIGNED;
}

/* Nothing of the key can be encrypted to now: the reason that stands nearest to its being good. */
static enum mail_key_fault encryption_why_not(rnp_key_handle_t primary, int64_t now_s)
{
    enum mail_key_fault fault = MAIL_KEY_CANNOT_ENCRYPT;
    size_t count = 0;
    if (rnp_key_get_subkey_count(primary, &count) != RNP_SUCCESS) return fault;
    for (size_t i = 0; i < count; i++) {
        CLEANUP(key_done) rnp_key_handle_t subkey = NULL;
        bool may = false;
        if (rnp_key_get_subkey_at(primary, i, &subkey) != RNP_SUCCESS) continue;
        if (rnp_key_allows_usage(subkey, "encrypt", &may) != RNP_SUCCESS || !may) continue;
        enum mail_key_fault why = invalid_why(subkey, now_s);
        if (fault != MAIL_KEY_EXPIRED) fault = why;
    }
    return fault;
}

static int64_t earlier(int64_t a, uint64_t till)
{
    if (till == UINT64_MAX) return a; /* no end */
    return a && a < (int64_t)till ? a : (int64_t)till;
}

static enum mail_key_fault algorithm_check(rnp_key_handle_t key, char *shown, size_t size)
{
    CLEANUP(text_done) char *name = NULL;
    CLEANUP(text_done) char *curve = NULL;
    uint32_t bits = 0;
    if (rnp_key_get_alg(key, &name) != RNP_SUCCESS) return MAIL_KEY_UNSUPPORTED;
    if (rnp_key_get_bits(key, &bits) != RNP_SUCCESS) return MAIL_KEY_UNSUPPORTED;
    if (!strcmp(name, RNP_ALGNAME_ECDH)) {
        if (rnp_key_get_curve(key, &curve) != RNP_SUCCESS) return MAIL_KEY_UNSUPPORTED;
        snprintf(shown, size, "%s %s", name, curve);
        return bits < CURVE_BITS_MIN ? MAIL_KEY_WEAK : MAIL_KEY_GOOD;
    }
    if (strcmp(name, RNP_ALGNAME_RSA) != 0 && strcmp(name, RNP_ALGNAME_ELGAMAL) != 0)
        return MAIL_KEY_UNSUPPORTED;
    snprintf(shown, size, "%s %u", name, bits);
    return bits < BITS_MIN ? MAIL_KEY_WEAK : MAIL_KEY_GOOD;
}

/* A name or address, no picture, that the key has signed and not revoked. */
static bool user_id_valid(rnp_key_handle_t primary, size_t at)
{
    rnp_uid_handle_t handle = NULL;
    uint32_t type = 0;
    bool valid = false;
    if (rnp_key_get_uid_handle_at(primary, at, &handle) != RNP_SUCCESS) return false;
    bool known = rnp_uid_get_type(handle, &type) == RNP_SUCCESS && type == RNP_USER_ID &&
                 rnp_uid_is_valid(handle, &valid) == RNP_SUCCESS;
    rnp_uid_handle_destroy(handle);
    return known && valid;
}

/* For librnp a subkey's binding is enough for its primary key to be valid, and the end of that one,
 * which stands in the user ids' signatures, is then lost. Not here. */
static bool user_id_any(rnp_key_handle_t primary)
{
    size_t count = 0;
    if (rnp_key_get_uid_count(primary, &count) != RNP_SUCCESS) return false;
    for (size_t i = 0; i < count; i++)
        if (user_id_valid(primary, i)) return true;
    return false;
}

/* Finds the key or subkey to encrypt to, and until when. */
static enum mail_key_fault encryption_find(struct openpgp_key *key, int64_t now_s,
                                           struct mail_key_info *info)
{
    bool valid = false;
    uint64_t till = 0, primary_till = 0;
    if (rnp_key_is_valid(key->primary, &valid) != RNP_SUCCESS || !valid)
        return invalid_why(key->primary, now_s);
    if (!user_id_any(key->primary)) return MAIL_KEY_UNSIGNED;
    if (rnp_key_get_default_key(key->primary, "encrypt", 0, &key->recipient) != RNP_SUCCESS ||
        !key->recipient)
        return encryption_why_not(key->primary, now_s);
    if (rnp_key_valid_till64(key->recipient, &till) != RNP_SUCCESS ||
        rnp_key_valid_till64(key->primary, &primary_till) != RNP_SUCCESS || !till || !primary_till)
        return MAIL_KEY_UNSIGNED;
    info->not_after_s = earlier(earlier(0, till), primary_till);
    if (info->not_after_s && info->not_after_s <= now_s) return MAIL_KEY_EXPIRED;
    return algorithm_check(key->recipient, info->algorithm, sizeof info->algorithm);
}

/* ---- what is told of a key ---- */

static void fingerprint_put(rnp_key_handle_t primary, struct mail_key_info *info)
{
    CLEANUP(text_done) char *hex = NULL;
    if (rnp_key_get_fprint(primary, &hex) != RNP_SUCCESS) return;
    for (size_t i = 0; hex[i] && i + 1 < sizeof info->fingerprint; i++)
        info->fingerprint[i] = (char)(hex[i] >= 'A' && hex[i] <= 'F' ? hex[i] + 32 : hex[i]);
}

static void user_id_put(rnp_key_handle_t primary, size_t at, struct mail_key_info *info)
{
    CLEANUP(text_done) char *text = NULL;
    if (user_id_valid(primary, at) && rnp_key_get_uid_at(primary, at, &text) == RNP_SUCCESS)
        mail_key_add_address(info, span_text(text));
}

/* ---- the calls ---- */

enum err openpgp_key_open(struct openpgp_key *key, struct span text, int64_t now_s,
                          struct mail_key_info *info, enum mail_key_fault *fault)
{
    *key = (struct openpgp_key){0};
    if (now_s <= 0 || now_s >= UINT32_MAX) return ERR_CRYPTO;
    rnp_result_t result = rnp_ffi_create(&key->ffi, RNP_KEYSTORE_GPG, RNP_KEYSTORE_GPG);
    if (!result) result = rnp_set_timestamp(key->ffi, (uint64_t)now_s);
    if (result != RNP_SUCCESS) return openpgp_error(result);
    enum err error = openpgp_is_binary(text) ? binary_import(key, text, fault)
                                             : armored_import(key, text, fault);
    if (error != ERR_OK) return error;
    *fault = encryption_find(key, now_s, info);
    key->not_after_s = info->not_after_s;
    return *fault == MAIL_KEY_GOOD ? ERR_OK : ERR_INVALID;
}

void openpgp_key_close(struct openpgp_key *key)
{
    key_done(&key->recipient);
    key_done(&key->primary);
    if (key->ffi) rnp_ffi_destroy(key->ffi);
    *key = (struct openpgp_key){0};
}

void openpgp_key_describe(const struct openpgp_key *key, struct mail_key_info *info)
{
    size_t count = 0;
    fingerprint_put(key->primary, info);
    if (rnp_key_get_uid_count(key->primary, &count) != RNP_SUCCESS) return;
    for (size_t i = 0; i < count; i++)
        user_id_put(key->primary, i, info);
}
