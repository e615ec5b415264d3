/* Encryption to an X.509 certificate by OpenSSL's CMS. Called by mail_seal.c on a worker thread; a
 * struct smime is one thread's. What always holds: validity is judged at the caller's time, by the
 * certificate alone (who vouches for it is for those to know who set it), and the thread's queue of
 * OpenSSL errors is empty again when a call returns.
 *
 * RSA keys get the content key by RSAES-PKCS1-v1_5, which every reader of S/MIME knows; keys on a
 * curve by ephemeral-static ECDH with SHA-256 (RFC 8551, section 2.3). */
#include "crypto/smime.h"

#include "base/codec.h"

#include <openssl/cms.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 8192,
    RSA_EXPONENT_BITS_MAX = 64,
    SECONDS_A_DAY = 86400,
};

struct smime {
    EVP_CIPHER *gcm, *cbc;
    EVP_MD *sha256;
};

static void certificate_done(X509 **certificate)
{
    X509_free(*certificate);
}

static void content_done(CMS_ContentInfo **content)
{
    CMS_ContentInfo_free(*content);
}

static void bio_done(BIO **bio)
{
    BIO_free_all(*bio);
}

enum err smime_new(struct smime **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return ERR_NO_MEMORY;
    (*out)->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    (*out)->cbc = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    (*out)->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if ((*out)->gcm && (*out)->cbc && (*out)->sha256) return ERR_OK;
    ERR_clear_error();
    smime_free(out);
    return ERR_CRYPTO;
}

void smime_free(struct smime **smime)
{
    if (!*smime) return;
    EVP_CIPHER_free((*smime)->gcm);
    EVP_CIPHER_free((*smime)->cbc);
    EVP_MD_free((*smime)->sha256);
    free(*smime);
    *smime = NULL;
}

/* ---- a certificate is read ---- */

static const char *find(struct span text, const char *word)
{
    return text.length ? memmem(text.data, text.length, word, strlen(word)) : NULL;
}

/* Exactly one block, and that a certificate. Texts around it are passed over, as OpenSSL does. */
static enum mail_key_fault block_check(struct span text)
{
    static const char begin[] = "-----BEGIN ", own[] = "-----BEGIN CERTIFICATE-----";
    const char *first = find(text, begin);
    if (find(text, "PRIVATE KEY-----")) return MAIL_KEY_SECRET;
    if (!first) return MAIL_KEY_MALFORMED;
    struct span rest = span_of(first, text.length - (size_t)(first - text.data));
    if (!span_starts(rest, own)) return MAIL_KEY_MALFORMED;
    rest = span_of(first + 1, rest.length - 1);
    return find(rest, begin) ? MAIL_KEY_SEVERAL : MAIL_KEY_GOOD;
}

static int no_password(char *out, int size, int writing, void *data)
{
    (void)out, (void)size, (void)writing, (void)data;
    return -1;
}

static enum err certificate_read(struct span text, X509 **out, enum mail_key_fault *fault)
{
    *fault = block_check(text);
    if (*fault != MAIL_KEY_GOOD) return ERR_INVALID;
    CLEANUP(bio_done) BIO *input = BIO_new_mem_buf(text.data, (int)text.length);
    if (!input) return ERR_NO_MEMORY;
    *out = PEM_read_bio_X509(input, NULL, no_password, NULL);
    *fault = *out ? MAIL_KEY_GOOD : MAIL_KEY_MALFORMED;
    return *out ? ERR_OK : ERR_INVALID;
}

/* ---- a certificate is judged ---- */

static bool seconds_of(const ASN1_TIME *time, int64_t *seconds)
{
    struct tm tm;
    if (!ASN1_TIME_to_tm(time, &tm)) return false;
    int64_t days = days_from_date(tm.tm_year + 1900, (unsigned)tm.tm_mon + 1, (unsigned)tm.tm_mday);
    *seconds = days * SECONDS_A_DAY + tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec;
    return true;
}

/* notAfter is itself still within (RFC 5280, section 4.1.2.5): the end is a second later. */
static enum mail_key_fault time_check(X509 *certificate, int64_t now_s, struct mail_key_info *info)
{
    int64_t begin, last;
    if (!seconds_of(X509_get0_notBefore(certificate), &begin) ||
        !seconds_of(X509_get0_notAfter(certificate), &last))
        return MAIL_KEY_MALFORMED;
    info->not_after_s = last + 1;
    if (last < now_s) return MAIL_KEY_EXPIRED;
    return begin > now_s ? MAIL_KEY_NOT_YET_VALID : MAIL_KEY_GOOD;
}

static enum mail_key_fault curve_check(const EVP_PKEY *key, struct mail_key_info *info)
{
    static const struct {
        const char *name, *shown;
    } curves[] = {
        {"prime256v1", "P-256"},
        {"secp384r1", "P-384"},
        {"secp521r1", "P-521"},
        {"brainpoolP256r1", "brainpoolP256r1"},
        {"brainpoolP384r1", "brainpoolP384r1"},
        {"brainpoolP512r1", "brainpoolP512r1"},
    };
    char name[64];
    size_t length = 0;
    if (!EVP_PKEY_get_group_name(key, name, sizeof name, &length)) return MAIL_KEY_UNSUPPORTED;
    for (size_t i = 0; i < COUNT_OF(curves); i++) {
        if (strcmp(name, curves[i].name) != 0) continue;
        snprintf(info->algorithm, sizeof info->algorithm, "EC %s", curves[i].shown);
        return MAIL_KEY_GOOD;
    }
    return EVP_PKEY_get_bits(key) < 256 ? MAIL_KEY_WEAK : MAIL_KEY_UNSUPPORTED;
}

/* An exponent of 1 would encrypt nothing, and a huge one takes long. */
static bool exponent_fits(const EVP_PKEY *key)
{
    BIGNUM *exponent = NULL;
    if (!EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent)) return false;
    int bits = BN_num_bits(exponent);
    bool fits = BN_is_odd(exponent) && bits >= 2 && bits <= RSA_EXPONENT_BITS_MAX;
    BN_free(exponent);
    return fits;
}

/* The key, and which keyUsage bit lets a content key be sent to it (RFC 8550, section 4.4.2). */
static enum mail_key_fault key_check(X509 *certificate, uint32_t *usage, struct mail_key_info *info)
{
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    if (!key) return MAIL_KEY_UNSUPPORTED;
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
        *usage = KU_KEY_AGREEMENT;
        return curve_check(key, info);
    }
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) return MAIL_KEY_UNSUPPORTED;
    *usage = KU_KEY_ENCIPHERMENT;
    int bits = EVP_PKEY_get_bits(key);
    snprintf(info->algorithm, sizeof info->algorithm, "RSA %d", bits);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX || !exponent_fits(key)) return MAIL_KEY_WEAK;
    return MAIL_KEY_GOOD;
}

/* Both are UINT32_MAX, every bit set, when the extension is not there. */
static enum mail_key_fault usage_check(X509 *certificate, uint32_t usage)
{
    uint32_t flags = X509_get_extension_flags(certificate);
    if (flags & EXFLAG_INVALID) return MAIL_KEY_MALFORMED;
    if (flags & EXFLAG_CRITICAL) return MAIL_KEY_UNSUPPORTED;
    if (!(X509_get_key_usage(certificate) & usage)) return MAIL_KEY_WRONG_USAGE;
    uint32_t extended = X509_get_extended_key_usage(certificate);
    return extended & (XKU_SMIME | XKU_ANYEKU) ? MAIL_KEY_GOOD : MAIL_KEY_WRONG_USAGE;
}

static enum mail_key_fault certificate_check(X509 *certificate, int64_t now_s,
                                             struct mail_key_info *info)
{
    uint32_t usage = 0;
    enum mail_key_fault fault = time_check(certificate, now_s, info);
    if (fault == MAIL_KEY_GOOD) fault = key_check(certificate, &usage, info);
    return fault == MAIL_KEY_GOOD ? usage_check(certificate, usage) : fault;
}

/* ---- what is told of a certificate ---- */

static bool info_put(const struct smime *smime, X509 *certificate, struct mail_key_info *info)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (!X509_digest(certificate, smime->sha256, digest, &length) ||
        2 * (size_t)length + 1 > sizeof info->fingerprint)
        return false;
    hex_encode(info->fingerprint, digest, length);
    STACK_OF(OPENSSL_STRING) *addresses = X509_get1_email(certificate);
    for (int i = 0; i < sk_OPENSSL_STRING_num(addresses); i++)
        mail_key_add_address(info, span_text(sk_OPENSSL_STRING_value(addresses, i)));
    X509_email_free(addresses);
    return true;
}

/* ---- encryption ---- */

static bool recipient_add(const struct smime *smime, CMS_ContentInfo *content, X509 *certificate)
{
    CMS_RecipientInfo *recipient = CMS_add1_recipient_cert(content, certificate, CMS_KEY_PARAM);
    if (!recipient) return false;
    if (CMS_RecipientInfo_type(recipient) != CMS_RECIPINFO_AGREE) return true;
    EVP_PKEY_CTX *context = CMS_RecipientInfo_get0_pkey_ctx(recipient);
    return context && EVP_PKEY_CTX_set_ecdh_kdf_md(context, smime->sha256) > 0;
}

/* What is written to CMS_dataInit's BIO is encrypted on the spot: OpenSSL keeps no plaintext but an
 * unfinished block, which it wipes. */
static bool content_fill(CMS_ContentInfo *content, struct span plain)
{
    CLEANUP(bio_done) BIO *filter = CMS_dataInit(content, NULL);
    if (!filter) return false;
    for (size_t at = 0; at < plain.length;) {
        int written = BIO_write(filter, plain.data + at, (int)(plain.length - at));
        if (written <= 0) return false;
        at += (size_t)written;
    }
    return BIO_flush(filter) > 0 && CMS_dataFinal(content, filter);
}

static enum err encrypt(const struct smime *smime, X509 *certificate, enum mail_cipher cipher,
                        struct span plain, struct buf *out)
{
    const EVP_CIPHER *chosen = cipher == MAIL_CIPHER_GCM ? smime->gcm : smime->cbc;
    CLEANUP(content_done)
    CMS_ContentInfo *content = CMS_encrypt(NULL, NULL, chosen, CMS_PARTIAL | CMS_BINARY);
    if (!content || !recipient_add(smime, content, certificate) || !content_fill(content, plain))
        return ERR_CRYPTO;
    int length = i2d_CMS_ContentInfo(content, NULL);
    if (length <= 0) return ERR_CRYPTO;
    unsigned char *room = (unsigned char *)buf_reserve(out, (size_t)length);
    if (!room) return ERR_NO_MEMORY;
    if (i2d_CMS_ContentInfo(content, &room) != length) return ERR_CRYPTO;
    out->length += (size_t)length;
    return ERR_OK;
}

/* ---- the calls ---- */

/* A key may be well-formed and yet be no key, which only shows when it is used. */
static bool trial_works(const struct smime *smime, X509 *certificate)
{
    CLEANUP(buf_done) struct buf out = {0};
    return encrypt(smime, certificate, MAIL_CIPHER_GCM, SPAN("trial"), &out) == ERR_OK;
}

enum err smime_check(struct smime *smime, struct span certificate, int64_t now_s,
                     struct mail_key_info *info, enum mail_key_fault *fault)
{
    CLEANUP(certificate_done) X509 *read = NULL;
    enum err error = certificate_read(certificate, &read, fault);
    if (error == ERR_OK) *fault = certificate_check(read, now_s, info);
    if (error == ERR_OK && *fault == MAIL_KEY_GOOD && !trial_works(smime, read))
        *fault = MAIL_KEY_UNSUPPORTED;
    if (error == ERR_OK && *fault == MAIL_KEY_GOOD && !info_put(smime, read, info))
        error = ERR_CRYPTO;
    ERR_clear_error();
    return error;
}

enum err smime_seal(struct smime *smime, struct span certificate, int64_t now_s,
                    enum mail_cipher cipher, struct span plain, struct buf *out,
                    enum mail_key_fault *fault)
{
    CLEANUP(certificate_done) X509 *read = NULL;
    struct mail_key_info info = {0};
    enum err error = certificate_read(certificate, &read, fault);
    if (error == ERR_OK) *fault = certificate_check(read, now_s, &info);
    if (error == ERR_OK && *fault == MAIL_KEY_GOOD)
        error = encrypt(smime, read, cipher, plain, out);
    ERR_clear_error();
    return error;
}
