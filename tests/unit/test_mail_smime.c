/* crypto/mail_seal with certificates that OpenSSL makes here: what is sealed opens with the private
 * key and no other, and every certificate that is not for encrypted mail is refused for its own
 * reason. */
#include "crypto/mail_seal.h"

#include "unit.h"

#include <openssl/cms.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

enum { NOW = 1800000000, DAY = 86400 };
#define CANARY "km_live_canary0canary1canary2canary3canary4canary5"

static struct mail_sealer *sealer;
static EVP_PKEY *rsa, *p256;

struct made {
    X509 *certificate;
    EVP_PKEY *key;
    char *text;
    size_t length;
};

static char *pem_of(X509 *certificate, EVP_PKEY *key, size_t *length)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    if (certificate) assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
    if (key) assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    *length = (size_t)BIO_get_mem_data(bio, &data);
    char *copy = malloc(*length);
    memcpy(copy, data, *length);
    BIO_free(bio);
    return copy;
}

static void extension_add(X509 *certificate, int kind, const char *value)
{
    if (!value) return;
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* Valid from `begin` to `end`, seconds of UTC; the extensions NULL: not there. */
static struct made make_for(EVP_PKEY *key, int64_t begin, int64_t end, const char *usage,
                            const char *extended, const char *names)
{
    struct made made = {.certificate = X509_new(), .key = key};
    X509 *x = made.certificate;
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 4711);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)"J", -1, -1, 0);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "emailAddress", MBSTRING_ASC,
                               (const unsigned char *)"j@example.com", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(x), begin));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(x), end));
    assert_int_equal(X509_set_pubkey(x, key), 1);
    extension_add(x, NID_key_usage, usage);
    extension_add(x, NID_ext_key_usage, extended);
    extension_add(x, NID_subject_alt_name, names);
    assert_true(X509_sign(x, rsa, EVP_sha256()) > 0);
    made.text = pem_of(x, NULL, &made.length);
    return made;
}

static struct made ordinary(EVP_PKEY *key)
{
    return make_for(key, NOW - DAY, NOW + 10 * DAY, NULL, NULL, NULL);
}

static void made_free(struct made *made)
{
    X509_free(made->certificate);
    free(made->text);
}

static struct mail_key key_of(const struct made *made, enum mail_cipher cipher)
{
    return (struct mail_key){MAIL_KEY_SMIME, cipher, {made->text, made->length}};
}

static enum mail_key_fault fault_at(struct span text, int64_t now_s)
{
    struct mail_key key = {.kind = MAIL_KEY_SMIME, .text = text};
    struct mail_key_info info;
    enum mail_key_fault fault, sealing;
    struct buf out = {0};
    enum err error = mail_key_check(sealer, &key, now_s, &info, &fault);
    assert_int_equal(error, fault == MAIL_KEY_GOOD ? ERR_OK : ERR_INVALID);
    assert_int_equal(ERR_peek_error(), 0);
    assert_true(fault == MAIL_KEY_GOOD || (!info.fingerprint[0] && !info.address_count));
    enum err sealed = mail_seal(sealer, &key, now_s, SPAN(CANARY), &out, &sealing);
    if (sealed == ERR_CRYPTO) /* only a trial shows it, which the check makes */
        assert_int_equal(fault, MAIL_KEY_UNSUPPORTED);
    else
        assert_true(sealed == error && sealing == fault);
    assert_true((out.length > 0) == (error == ERR_OK));
    assert_int_equal(ERR_peek_error(), 0);
    buf_done(&out);
    return fault;
}

/* That fault, and the certificate is gone. */
static enum mail_key_fault fault_of(struct made made)
{
    enum mail_key_fault fault = fault_at(span_of(made.text, made.length), NOW);
    made_free(&made);
    return fault;
}

static bool opens(const struct buf *sealed, X509 *certificate, EVP_PKEY *key, const char *content)
{
    const unsigned char *at = (const unsigned char *)sealed->data;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &at, (long)sealed->length);
    BIO *plain = BIO_new(BIO_s_mem());
    char *data = NULL;
    bool opened = cms && CMS_decrypt(cms, key, certificate, NULL, plain, 0) == 1;
    long length = BIO_get_mem_data(plain, &data);
    opened = opened && length == (long)strlen(content) && !memcmp(data, content, (size_t)length);
    BIO_free(plain);
    CMS_ContentInfo_free(cms);
    ERR_clear_error();
    return opened;
}

static int type_of(const struct buf *sealed)
{
    const unsigned char *at = (const unsigned char *)sealed->data;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &at, (long)sealed->length);
    int type = OBJ_obj2nid(CMS_get0_type(cms));
    CMS_ContentInfo_free(cms);
    return type;
}

static void opens_with_the_private_key_alone(void **state)
{
    (void)state;
    EVP_PKEY *others[] = {EVP_RSA_gen(2048), EVP_EC_gen("P-256")};
    EVP_PKEY *own[] = {rsa, p256};
    for (unsigned i = 0; i < 4; i++) {
        enum mail_cipher cipher = i & 2 ? MAIL_CIPHER_CBC : MAIL_CIPHER_GCM;
        struct made made = ordinary(own[i & 1]);
        struct mail_key key = key_of(&made, cipher);
        enum mail_key_fault fault;
        struct buf out = {0};
        assert_int_equal(mail_seal(sealer, &key, NOW, SPAN(CANARY), &out, &fault), ERR_OK);
        assert_null(memmem(out.data, out.length, CANARY, 12));
        assert_int_equal(type_of(&out), cipher == MAIL_CIPHER_GCM
                                            ? NID_id_smime_ct_authEnvelopedData
                                            : NID_pkcs7_enveloped);
        assert_true(opens(&out, made.certificate, made.key, CANARY));
        assert_false(opens(&out, NULL, others[i & 1], CANARY));
        out.data[out.length - 20] ^= 1;
        assert_false(opens(&out, made.certificate, made.key, CANARY));
        buf_done(&out);
        made_free(&made);
    }
    EVP_PKEY_free(others[0]);
    EVP_PKEY_free(others[1]);
}

/* Far more than any buffer of OpenSSL's, at lengths around its blocks. */
static void seals_all_lengths(void **state)
{
    (void)state;
    static char plain[100001];
    static const size_t lengths[] = {1, 15, 16, 17, 4095, 4096, 4097, 100000};
    struct made made = ordinary(p256);
    for (size_t i = 0; i < 2 * COUNT_OF(lengths); i++) {
        struct mail_key key = key_of(&made, i % 2 ? MAIL_CIPHER_CBC : MAIL_CIPHER_GCM);
        enum mail_key_fault fault;
        struct buf out = {0};
        memset(plain, 'x', lengths[i / 2]);
        plain[lengths[i / 2]] = '\0';
        assert_int_equal(mail_seal(sealer, &key, NOW, span_text(plain), &out, &fault), ERR_OK);
        assert_true(opens(&out, made.certificate, made.key, plain));
        buf_done(&out);
    }
    made_free(&made);
}

static void tells_what_is_known(void **state)
{
    (void)state;
    struct made made = make_for(p256, NOW - DAY, NOW + 10 * DAY, NULL, NULL,
                                "email:J@example.com,email:second@example.org,DNS:x.example");
    struct mail_key key = key_of(&made, MAIL_CIPHER_GCM);
    struct mail_key_info info;
    enum mail_key_fault fault;
    unsigned char digest[32];
    char hex[65];
    assert_int_equal(mail_key_check(sealer, &key, NOW, &info, &fault), ERR_OK);
    assert_int_equal(info.kind, MAIL_KEY_SMIME);
    assert_string_equal(info.algorithm, "EC P-256");
    assert_int_equal(info.not_after_s, NOW + 10 * DAY + 1);
    assert_int_equal(info.address_count, 2); /* the subject's own is the same but for case, */
    assert_int_equal(strcasecmp(info.addresses[0], "j@example.com"), 0); /* and first with 3.5 */
    assert_string_equal(info.addresses[1], "second@example.org");
    X509_digest(made.certificate, EVP_sha256(), digest, NULL);
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(info.fingerprint, hex);
    made_free(&made);

    made = ordinary(rsa);
    key = key_of(&made, MAIL_CIPHER_GCM);
    assert_int_equal(mail_key_check(sealer, &key, NOW, &info, &fault), ERR_OK);
    assert_string_equal(info.algorithm, "RSA 2048");
    made_free(&made);
}

static void validity_is_at_the_time_given(void **state)
{
    (void)state;
    struct made made = ordinary(rsa);
    struct span text = {made.text, made.length};
    assert_int_equal(fault_at(text, NOW - DAY - 1), MAIL_KEY_NOT_YET_VALID);
    assert_int_equal(fault_at(text, NOW - DAY), MAIL_KEY_GOOD);
    assert_int_equal(fault_at(text, NOW + 10 * DAY), MAIL_KEY_GOOD);
    assert_int_equal(fault_at(text, NOW + 10 * DAY + 1), MAIL_KEY_EXPIRED);
    made_free(&made);
    /* Beyond 2049 the time has another form; "no end" is 9999-12-31 (RFC 5280, 4.1.2.5). */
    made = make_for(rsa, NOW, INT64_C(253402300799), NULL, NULL, NULL);
    text = span_of(made.text, made.length);
    assert_int_equal(fault_at(text, NOW), MAIL_KEY_GOOD);
    assert_int_equal(fault_at(text, INT64_C(4000000000)), MAIL_KEY_GOOD);
    made_free(&made);
}

static void usage_must_be_encrypted_mail(void **state)
{
    (void)state;
    static const struct {
        bool curve;
        const char *usage, *extended;
        enum mail_key_fault fault;
    } cases[] = {
        {false, "keyEncipherment", "emailProtection", MAIL_KEY_GOOD},
        {false, "critical,keyEncipherment,digitalSignature", "critical,emailProtection",
         MAIL_KEY_GOOD},
        {false, NULL, "anyExtendedKeyUsage", MAIL_KEY_GOOD},
        {false, NULL, "clientAuth,emailProtection", MAIL_KEY_GOOD},
        {true, "keyAgreement", "emailProtection", MAIL_KEY_GOOD},
        {true, "keyAgreement", NULL, MAIL_KEY_GOOD},
        {false, "digitalSignature", "emailProtection", MAIL_KEY_WRONG_USAGE},
        {false, "keyAgreement", "emailProtection", MAIL_KEY_WRONG_USAGE},
        {false, "keyCertSign,cRLSign", NULL, MAIL_KEY_WRONG_USAGE},
        {true, "keyEncipherment", NULL, MAIL_KEY_WRONG_USAGE},
        {true, "digitalSignature", NULL, MAIL_KEY_WRONG_USAGE},
        {false, "keyEncipherment", "serverAuth", MAIL_KEY_WRONG_USAGE},
        {true, "keyAgreement", "clientAuth,serverAuth", MAIL_KEY_WRONG_USAGE},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct made made = make_for(cases[i].curve ? p256 : rsa, NOW - 1, NOW + 1, cases[i].usage,
                                    cases[i].extended, NULL);
        assert_int_equal(fault_of(made), cases[i].fault);
    }
}

static void algorithms_are_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *type, *curve;
        unsigned bits;
        enum mail_key_fault fault;
    } cases[] = {
        {"RSA", NULL, 1024, MAIL_KEY_WEAK},
        {"RSA", NULL, 3072, MAIL_KEY_GOOD},
        {"RSA-PSS", NULL, 2048, MAIL_KEY_UNSUPPORTED},
        {"EC", "secp384r1", 0, MAIL_KEY_GOOD},
        {"EC", "secp521r1", 0, MAIL_KEY_GOOD},
        {"EC", "brainpoolP256r1", 0, MAIL_KEY_GOOD},
        {"EC", "secp256k1", 0, MAIL_KEY_UNSUPPORTED},
        {"EC", "secp224r1", 0, MAIL_KEY_WEAK},
        {"ED25519", NULL, 0, MAIL_KEY_UNSUPPORTED},
        {"X25519", NULL, 0, MAIL_KEY_UNSUPPORTED},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, cases[i].type, NULL);
        EVP_PKEY *key = NULL;
        EVP_PKEY_keygen_init(context);
        if (cases[i].curve)
            assert_int_equal(EVP_PKEY_CTX_set_group_name(context, cases[i].curve), 1);
        if (cases[i].bits)
            assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(context, (int)cases[i].bits), 1);
        assert_int_equal(EVP_PKEY_keygen(context, &key), 1);
        assert_int_equal(fault_of(ordinary(key)), cases[i].fault);
        EVP_PKEY_free(key);
        EVP_PKEY_CTX_free(context);
    }
}

/* Well-formed, but of a kind that encrypts nothing, or no key at all. */
static void an_rsa_key_must_be_one(void **state)
{
    (void)state;
    static const struct {
        BN_ULONG exponent;
        bool even;
        enum mail_key_fault fault;
    } cases[] = {{65537, false, MAIL_KEY_GOOD},
                 {3, false, MAIL_KEY_GOOD},
                 {1, false, MAIL_KEY_WEAK},
                 {2, false, MAIL_KEY_WEAK},
                 {65537, true, MAIL_KEY_UNSUPPORTED}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        BIGNUM *modulus = NULL, *exponent = BN_new();
        EVP_PKEY *key = NULL;
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
        OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
        assert_int_equal(EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, &modulus), 1);
        if (cases[i].even) BN_clear_bit(modulus, 0);
        BN_set_word(exponent, cases[i].exponent);
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus);
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent);
        OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
        assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
        assert_int_equal(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters), 1);
        assert_int_equal(fault_of(ordinary(key)), cases[i].fault);
        OSSL_PARAM_free(parameters);
        OSSL_PARAM_BLD_free(build);
        EVP_PKEY_CTX_free(context);
        EVP_PKEY_free(key);
        BN_free(modulus);
        BN_free(exponent);
    }
}

static void refuses_what_is_not_one_certificate(void **state)
{
    (void)state;
    struct made made = ordinary(rsa);
    struct buf text = {0};
    size_t length;
    char *private = pem_of(NULL, rsa, &length);
    assert_int_equal(fault_at(SPAN(""), NOW), MAIL_KEY_EMPTY);
    assert_int_equal(fault_at(SPAN("MIIB"), NOW), MAIL_KEY_MALFORMED);
    assert_int_equal(
        fault_at(SPAN("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"), NOW),
        MAIL_KEY_MALFORMED);
    assert_int_equal(
        fault_at(SPAN("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----"), NOW),
        MAIL_KEY_MALFORMED);
    assert_int_equal(fault_at(span_of(made.text, made.length / 2), NOW), MAIL_KEY_MALFORMED);
    assert_int_equal(fault_at(span_of(private, length), NOW), MAIL_KEY_SECRET);
    buf_add(&text, made.text, made.length);
    buf_add(&text, private, length);
    assert_int_equal(fault_at(buf_span(&text), NOW), MAIL_KEY_SECRET);
    buf_clear(&text);
    buf_add_text(&text, "subject=J\n");
    buf_add(&text, made.text, made.length);
    buf_add_text(&text, "\n");
    assert_int_equal(fault_at(buf_span(&text), NOW), MAIL_KEY_GOOD);
    buf_add(&text, made.text, made.length);
    assert_int_equal(fault_at(buf_span(&text), NOW), MAIL_KEY_SEVERAL);
    while (text.length <= MAIL_KEY_TEXT_MAX)
        buf_add_text(&text, "    ");
    assert_int_equal(fault_at(buf_span(&text), NOW), MAIL_KEY_TOO_LARGE);
    free(private);
    buf_done(&text);
    made_free(&made);
}

static void refuses_extensions_it_does_not_know(void **state)
{
    (void)state;
    struct made made = ordinary(rsa);
    X509_EXTENSION *extension = X509V3_EXT_conf(NULL, NULL, "1.2.3.4.5", "critical,DER:0500");
    X509_add_ext(made.certificate, extension, -1);
    X509_EXTENSION_free(extension);
    X509_sign(made.certificate, rsa, EVP_sha256());
    free(made.text);
    made.text = pem_of(made.certificate, NULL, &made.length);
    assert_int_equal(fault_of(made), MAIL_KEY_UNSUPPORTED);
}

static void nothing_comes_of_a_full_buffer(void **state)
{
    (void)state;
    struct made made = ordinary(rsa);
    struct mail_key key = key_of(&made, MAIL_CIPHER_GCM);
    enum mail_key_fault fault;
    struct buf out = {.limit = 100};
    buf_add_text(&out, "before");
    assert_int_equal(mail_seal(sealer, &key, NOW, SPAN(CANARY), &out, &fault), ERR_NO_MEMORY);
    assert_int_equal(fault, MAIL_KEY_GOOD);
    assert_true(span_is(buf_span(&out), "before"));
    buf_done(&out);
    made_free(&made);
}

static int tools_make(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    p256 = EVP_EC_gen("P-256");
    return mail_sealer_new(&sealer) != ERR_OK || !rsa || !p256;
}

static int tools_drop(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p256);
    mail_sealer_free(&sealer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_with_the_private_key_alone),
        cmocka_unit_test(seals_all_lengths),
        cmocka_unit_test(tells_what_is_known),
        cmocka_unit_test(validity_is_at_the_time_given),
        cmocka_unit_test(usage_must_be_encrypted_mail),
        cmocka_unit_test(algorithms_are_bounded),
        cmocka_unit_test(an_rsa_key_must_be_one),
        cmocka_unit_test(refuses_what_is_not_one_certificate),
        cmocka_unit_test(refuses_extensions_it_does_not_know),
        cmocka_unit_test(nothing_comes_of_a_full_buffer),
    };
    return cmocka_run_group_tests(tests, tools_make, tools_drop);
}
