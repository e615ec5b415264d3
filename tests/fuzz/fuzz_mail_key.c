/* A recipient's own key, as a client sends it: OpenPGP and X.509. What must hold: a key is good or
 * refused for one reason, of a good one all that is told is printable, mail to it holds no
 * plaintext, and of a refused one nothing is told and nothing sealed. Input: what follows its first
 * byte, which says what that is: 'a' an OpenPGP key as text, 'b' in binary, 'p' a certificate as
 * text, 'd' in DER, which is then put into PEM, because no mutation would hit that. */
#include "core/mail_text.h"
#include "crypto/mail_seal.h"
#include "fuzz.h"

#include <string.h>

enum { NOW = 1800000000 };
#define SECRET "km_live_0123456789"

static struct mail_sealer *sealer;

static void check_info(const struct mail_key_info *info)
{
    size_t length = strlen(info->fingerprint);
    FUZZ_CHECK(length == 40 || length == 64);
    FUZZ_CHECK(strspn(info->fingerprint, "0123456789abcdef") == length);
    FUZZ_CHECK(info->algorithm[0] && strlen(info->algorithm) < sizeof info->algorithm);
    FUZZ_CHECK(info->not_after_s == 0 || info->not_after_s > NOW);
    FUZZ_CHECK(info->address_count <= MAIL_KEY_ADDRESSES_MAX);
    for (unsigned i = 0; i < info->address_count; i++) {
        const char *address = info->addresses[i];
        FUZZ_CHECK(strlen(address) < MAIL_KEY_ADDRESS_SIZE && strchr(address, '@'));
        for (; *address; address++)
            FUZZ_CHECK(*address > ' ' && *address <= '~');
    }
}

/* By hand: what libFuzzer sees compared it puts into a certificate's names, which stand in what is
 * sealed. */
static bool holds_secret(const struct buf *out)
{
    static const char secret[] = SECRET;
    for (size_t at = 0; at + sizeof secret <= out->length; at++) {
        size_t same = 0;
        while (same < sizeof secret - 1 && out->data[at + same] == secret[same])
            same++;
        if (same == sizeof secret - 1) return true;
    }
    return false;
}

static void check_key(const struct mail_key *key)
{
    struct mail_key_info info;
    enum mail_key_fault fault, sealing;
    struct buf out = {0};
    enum err error = mail_key_check(sealer, key, NOW, &info, &fault);
    FUZZ_CHECK(error == (fault == MAIL_KEY_GOOD ? ERR_OK : ERR_INVALID));
    enum err sealed = mail_seal(sealer, key, NOW, SPAN(SECRET), &out, &sealing);
    if (fault == MAIL_KEY_UNSUPPORTED && sealed == ERR_CRYPTO) /* found by the check's trial */
        FUZZ_CHECK(sealing == MAIL_KEY_GOOD);
    else
        FUZZ_CHECK(sealed == error && sealing == fault);
    if (error == ERR_OK) {
        check_info(&info);
        FUZZ_CHECK(out.length > 100 && !holds_secret(&out));
    } else {
        FUZZ_CHECK(!out.length && !info.fingerprint[0] && !info.address_count);
        FUZZ_CHECK(strlen(mail_key_fault_text(key->kind, fault)) > 5);
    }
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf pem = {0};
    if (!sealer && mail_sealer_new(&sealer) != ERR_OK) abort();
    if (!size) return 0;
    struct mail_key key = {.text = span_of(data + 1, size - 1)};
    key.kind = data[0] == 'a' || data[0] == 'b' ? MAIL_KEY_OPENPGP : MAIL_KEY_SMIME;
    if (data[0] == 'd') {
        buf_add_text(&pem, "-----BEGIN CERTIFICATE-----\n");
        mail_text_base64(&pem, key.text);
        buf_add_text(&pem, "-----END CERTIFICATE-----\n");
        key.text = buf_span(&pem);
    }
    check_key(&key);
    buf_done(&pem);
    return 0;
}
