/* crypto/mail_seal with OpenPGP keys that librnp makes here: what is sealed opens with the secret
 * key and no other, and every key that cannot be used is refused for its own reason. */
#include "crypto/mail_seal.h"
#include "crypto/openpgp_packets.h"
#include "crypto/openpgp_quiet.h"

#include "unit.h"

#include <pthread.h>
#include <rnp/rnp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NOW = 1800000000, DAY = 86400 };
#define CANARY "km_live_canary0canary1canary2canary3canary4canary5"

static struct mail_sealer *sealer;

struct made {
    rnp_ffi_t ffi;
    rnp_key_handle_t key;
    char *text;
    size_t length;
};

static void export_key(struct made *made, uint32_t flags)
{
    rnp_output_t output = NULL;
    uint8_t *data;
    free(made->text);
    assert_int_equal(rnp_output_to_memory(&output, 0), 0);
    assert_int_equal(rnp_key_export(made->key, output, flags | RNP_KEY_EXPORT_SUBKEYS), 0);
    assert_int_equal(rnp_output_memory_get_buf(output, &data, &made->length, false), 0);
    made->text = malloc(made->length);
    memcpy(made->text, data, made->length);
    rnp_output_destroy(output);
}

enum { ARMORED = RNP_KEY_EXPORT_ARMORED | RNP_KEY_EXPORT_PUBLIC, BINARY = RNP_KEY_EXPORT_PUBLIC };

/* A key made at `at`; `seconds` of life each, 0: for ever. `sub` NULL: none. */
static struct made key_make(const char *primary, const char *sub, const char *curve, int64_t at,
                            uint32_t seconds, uint32_t sub_seconds, const char *user)
{
    struct made made = {0};
    rnp_op_generate_t operation = NULL;
    rnp_key_handle_t subkey = NULL;
    assert_int_equal(rnp_ffi_create(&made.ffi, "GPG", "GPG"), 0);
    assert_int_equal(rnp_set_timestamp(made.ffi, (uint64_t)at), 0);
    assert_int_equal(rnp_op_generate_create(&operation, made.ffi, primary), 0);
    if (!strcmp(primary, "ECDSA")) assert_int_equal(rnp_op_generate_set_curve(operation, curve), 0);
    assert_int_equal(rnp_op_generate_set_userid(operation, user), 0);
    assert_int_equal(rnp_op_generate_set_expiration(operation, seconds), 0);
    assert_int_equal(rnp_op_generate_execute(operation), 0);
    assert_int_equal(rnp_op_generate_get_key(operation, &made.key), 0);
    rnp_op_generate_destroy(operation);
    if (sub) {
        assert_int_equal(rnp_op_generate_subkey_create(&operation, made.ffi, made.key, sub), 0);
        if (curve) assert_int_equal(rnp_op_generate_set_curve(operation, curve), 0);
        if (!curve) assert_int_equal(rnp_op_generate_set_bits(operation, 2048), 0);
        assert_int_equal(rnp_op_generate_add_usage(operation, "encrypt"), 0);
        assert_int_equal(rnp_op_generate_set_expiration(operation, sub_seconds), 0);
        assert_int_equal(rnp_op_generate_execute(operation), 0);
        assert_int_equal(rnp_op_generate_get_key(operation, &subkey), 0);
        rnp_key_handle_destroy(subkey);
        rnp_op_generate_destroy(operation);
    }
    export_key(&made, ARMORED);
    return made;
}

static struct made ordinary(uint32_t seconds, uint32_t sub_seconds)
{
    return key_make("EDDSA", "ECDH", "Curve25519", NOW - DAY, seconds, sub_seconds,
                    "J\u00FCrgen <j@example.com>");
}

static void made_free(struct made *made)
{
    rnp_key_handle_destroy(made->key);
    rnp_ffi_destroy(made->ffi);
    free(made->text);
}

static struct mail_key key_of(const struct made *made)
{
    return (struct mail_key){.kind = MAIL_KEY_OPENPGP, .text = {made->text, made->length}};
}

static enum mail_key_fault fault_at(struct span text, int64_t now_s)
{
    struct mail_key key = {.kind = MAIL_KEY_OPENPGP, .text = text};
    struct mail_key_info info;
    enum mail_key_fault fault, sealing;
    struct buf out = {0};
    enum err error = mail_key_check(sealer, &key, now_s, &info, &fault);
    assert_int_equal(error, fault == MAIL_KEY_GOOD ? ERR_OK : ERR_INVALID);
    assert_true(fault == MAIL_KEY_GOOD || (!info.fingerprint[0] && !info.address_count));
    /* Whoever seals without asking first gets the same answer. */
    assert_int_equal(mail_seal(sealer, &key, now_s, SPAN(CANARY), &out, &sealing), error);
    assert_int_equal(sealing, fault);
    assert_true((out.length > 0) == (error == ERR_OK));
    buf_done(&out);
    return fault;
}

static enum mail_key_fault fault_of(const struct made *made, int64_t now_s)
{
    return fault_at(span_of(made->text, made->length), now_s);
}

static rnp_result_t open_with(const struct made *made, const struct buf *sealed, char *out,
                              size_t size)
{
    rnp_input_t input = NULL;
    rnp_output_t output = NULL;
    uint8_t *data;
    size_t length;
    assert_int_equal(rnp_input_from_memory(&input, (uint8_t *)sealed->data, sealed->length, false),
                     0);
    assert_int_equal(rnp_output_to_memory(&output, 0), 0);
    openpgp_quiet_begin();
    rnp_result_t result = rnp_decrypt(made->ffi, input, output);
    openpgp_quiet_end();
    if (!result) {
        assert_int_equal(rnp_output_memory_get_buf(output, &data, &length, false), 0);
        snprintf(out, size, "%.*s", (int)length, (char *)data);
    }
    rnp_input_destroy(input);
    rnp_output_destroy(output);
    return result;
}

static void opens_with_the_secret_key_alone(void **state)
{
    (void)state;
    static const struct {
        const char *primary, *sub, *curve, *shown;
    } kinds[] = {
        {"EDDSA", "ECDH", "Curve25519", "ECDH Curve25519"},
        {"ECDSA", "ECDH", "NIST P-256", "ECDH NIST P-256"},
        {"RSA", "RSA", NULL, "RSA 2048"},
    };
    struct made other = ordinary(0, 0);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct made made = key_make(kinds[i].primary, kinds[i].sub, kinds[i].curve, NOW, 0, 0,
                                    "somebody@example.com");
        struct mail_key key = key_of(&made);
        struct mail_key_info info;
        enum mail_key_fault fault;
        char opened[200] = "";
        struct buf out = {0}, again = {0};
        assert_int_equal(mail_key_check(sealer, &key, NOW, &info, &fault), ERR_OK);
        assert_string_equal(info.algorithm, kinds[i].shown);
        buf_add_text(&out, "before");
        assert_int_equal(mail_seal(sealer, &key, NOW, SPAN(CANARY), &out, &fault), ERR_OK);
        assert_memory_equal(out.data, "before-----BEGIN PGP MESSAGE-----\r\n", 35);
        assert_null(memmem(out.data, out.length, CANARY, 12));
        assert_int_equal(mail_seal(sealer, &key, NOW, SPAN(CANARY), &again, &fault), ERR_OK);
        assert_memory_not_equal(out.data + 60, again.data + 54, 100);
        assert_int_equal(open_with(&made, &again, opened, sizeof opened), 0);
        assert_string_equal(opened, CANARY);
        assert_int_not_equal(open_with(&other, &again, opened, sizeof opened), 0);
        buf_done(&out);
        buf_done(&again);
        made_free(&made);
    }
    made_free(&other);
}

static void tells_what_is_known(void **state)
{
    (void)state;
    struct made made = ordinary(30 * DAY, 10 * DAY);
    struct mail_key key = key_of(&made);
    struct mail_key_info info;
    enum mail_key_fault fault;
    char *fingerprint = NULL;
    assert_int_equal(mail_key_check(sealer, &key, NOW, &info, &fault), ERR_OK);
    assert_int_equal(info.not_after_s, NOW + 9 * DAY); /* the subkey ends first */
    assert_int_equal(info.address_count, 1);
    assert_string_equal(info.addresses[0], "j@example.com");
    assert_int_equal(rnp_key_get_fprint(made.key, &fingerprint), 0);
    assert_int_equal(strlen(info.fingerprint), 40);
    assert_int_equal(strcasecmp(info.fingerprint, fingerprint), 0);
    rnp_buffer_destroy(fingerprint);

    export_key(&made, BINARY);
    key = key_of(&made);
    struct mail_key_info same;
    assert_int_equal(mail_key_check(sealer, &key, NOW, &same, &fault), ERR_OK);
    assert_memory_equal(&info, &same, sizeof info);
    made_free(&made);

    made = ordinary(10 * DAY, 0);
    key = key_of(&made);
    assert_int_equal(mail_key_check(sealer, &key, NOW, &info, &fault), ERR_OK);
    assert_int_equal(info.not_after_s, NOW + 9 * DAY); /* the primary key ends first */
    made_free(&made);
    made = ordinary(0, 0);
    key = key_of(&made);
    assert_int_equal(mail_key_check(sealer, &key, NOW, &info, &fault), ERR_OK);
    assert_int_equal(info.not_after_s, 0);
    made_free(&made);
}

static void validity_is_at_the_time_given(void **state)
{
    (void)state;
    struct made made = ordinary(10 * DAY, 10 * DAY);
    assert_int_equal(fault_of(&made, NOW), MAIL_KEY_GOOD);
    assert_int_equal(fault_of(&made, NOW + 9 * DAY - 1), MAIL_KEY_GOOD);
    assert_int_equal(fault_of(&made, NOW + 9 * DAY), MAIL_KEY_EXPIRED);
    assert_int_equal(fault_of(&made, NOW + 90 * DAY), MAIL_KEY_EXPIRED);
    assert_int_equal(fault_of(&made, NOW - DAY - 1), MAIL_KEY_NOT_YET_VALID);
    assert_int_equal(fault_of(&made, NOW), MAIL_KEY_GOOD);
    made_free(&made);
    made = ordinary(0, 10 * DAY); /* the subkey alone */
    assert_int_equal(fault_of(&made, NOW + 9 * DAY), MAIL_KEY_EXPIRED);
    assert_int_equal(fault_of(&made, NOW - DAY), MAIL_KEY_GOOD);
    made_free(&made);
}

static void refuses_what_cannot_be_used(void **state)
{
    (void)state;
    struct made made = key_make("EDDSA", NULL, NULL, NOW, 0, 0, "signs@example.com");
    assert_int_equal(fault_of(&made, NOW), MAIL_KEY_CANNOT_ENCRYPT);
    made_free(&made);

    made = ordinary(0, 0);
    export_key(&made, RNP_KEY_EXPORT_ARMORED | RNP_KEY_EXPORT_SECRET);
    assert_int_equal(fault_of(&made, NOW), MAIL_KEY_SECRET);
    export_key(&made, RNP_KEY_EXPORT_SECRET);
    assert_int_equal(fault_of(&made, NOW), MAIL_KEY_SECRET);
    assert_int_equal(rnp_key_revoke(made.key, 0, "SHA256", "compromised", "lost"), 0);
    export_key(&made, ARMORED);
    assert_int_equal(fault_of(&made, NOW), MAIL_KEY_REVOKED);
    made_free(&made);

    made = ordinary(0, 0);
    rnp_key_handle_t subkey = NULL;
    assert_int_equal(rnp_key_get_subkey_at(made.key, 0, &subkey), 0);
    assert_int_equal(rnp_key_revoke(subkey, 0, "SHA256", "superseded", "newer"), 0);
    rnp_key_handle_destroy(subkey);
    export_key(&made, ARMORED);
    assert_int_equal(fault_of(&made, NOW), MAIL_KEY_REVOKED);
    made_free(&made);
}

static void refuses_what_is_not_one_key(void **state)
{
    (void)state;
    struct made one = ordinary(0, 0), two = ordinary(0, 0);
    struct buf text = {0};
    assert_int_equal(fault_at(SPAN(""), NOW), MAIL_KEY_EMPTY);
    assert_int_equal(fault_at(SPAN("a key"), NOW), MAIL_KEY_MALFORMED);
    assert_int_equal(fault_at(SPAN("\x99\x01"), NOW), MAIL_KEY_MALFORMED);
    assert_int_equal(
        fault_at(SPAN("-----BEGIN PGP MESSAGE-----\n\n-----END PGP MESSAGE-----"), NOW),
        MAIL_KEY_MALFORMED);
    assert_int_equal(fault_at(span_of(one.text, one.length / 2), NOW), MAIL_KEY_MALFORMED);

    buf_add(&text, one.text, one.length);
    buf_add(&text, two.text, two.length);
    assert_int_equal(fault_at(buf_span(&text), NOW), MAIL_KEY_SEVERAL);
    buf_clear(&text);
    export_key(&one, BINARY);
    export_key(&two, BINARY);
    buf_add(&text, one.text, one.length);
    buf_add(&text, two.text, two.length);
    assert_int_equal(fault_at(buf_span(&text), NOW), MAIL_KEY_SEVERAL);
    buf_clear(&text);
    while (text.length <= MAIL_KEY_TEXT_MAX)
        buf_add_text(&text, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n");
    assert_int_equal(fault_at(buf_span(&text), NOW), MAIL_KEY_TOO_LARGE);
    buf_done(&text);
    made_free(&one);
    made_free(&two);
}

/* A changed byte anywhere but in the armour's frame is no longer the key that was signed. */
static void refuses_a_key_that_was_changed(void **state)
{
    (void)state;
    struct made made = ordinary(0, 0);
    struct mail_key_info info;
    enum mail_key_fault fault;
    char *fingerprint = NULL;
    unsigned refused = 0;
    export_key(&made, BINARY);
    assert_int_equal(rnp_key_get_fprint(made.key, &fingerprint), 0);
    for (size_t i = 0; i < made.length; i++) {
        made.text[i] ^= 0x10;
        struct mail_key key = key_of(&made);
        if (mail_key_check(sealer, &key, NOW, &info, &fault) == ERR_INVALID)
            refused++;
        else /* in an unhashed subpacket */
            assert_int_equal(strcasecmp(info.fingerprint, fingerprint), 0);
        made.text[i] ^= 0x10;
    }
    assert_true(refused > made.length * 9 / 10);
    assert_int_equal(fault_of(&made, NOW), MAIL_KEY_GOOD);
    rnp_buffer_destroy(fingerprint);
    made_free(&made);
}

static void text_around_the_armour_is_passed_over(void **state)
{
    (void)state;
    struct made made = ordinary(0, 0);
    struct buf text = {0};
    buf_add_text(&text, "\n  my key:\n");
    buf_add(&text, made.text, made.length);
    buf_add_text(&text, "\n-- \nJ.\n");
    assert_int_equal(fault_at(buf_span(&text), NOW), MAIL_KEY_GOOD);
    buf_clear(&text);
    for (size_t i = 0; i < made.length; i++) /* as a web form sends it, or a Unix tool writes it */
        if (made.text[i] != '\r') buf_add_char(&text, made.text[i]);
    assert_int_equal(fault_at(buf_span(&text), NOW), MAIL_KEY_GOOD);
    buf_done(&text);
    made_free(&made);
}

/* The log is one JSON object a line: librnp's own words have no place there. */
static void librnp_is_silent(void **state)
{
    (void)state;
    struct made made = ordinary(10 * DAY, 0);
    FILE *caught = tmpfile();
    int standard_error = dup(STDERR_FILENO);
    assert_true(caught && standard_error >= 0);
    dup2(fileno(caught), STDERR_FILENO);
    enum mail_key_fault faults[] = {fault_of(&made, NOW), fault_of(&made, NOW - 2 * DAY),
                                    fault_of(&made, NOW + 20 * DAY),
                                    fault_at(span_of(made.text, made.length / 2), NOW)};
    made.text[made.length / 2] ^= 1;
    enum mail_key_fault changed = fault_of(&made, NOW);
    long silent = lseek(fileno(caught), 0, SEEK_END);
    fprintf(stderr, "%s", "heard");
    long heard = lseek(fileno(caught), 0, SEEK_END);
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    fclose(caught);
    assert_int_equal(silent, 0);
    assert_int_equal(heard, 5);
    assert_int_equal(faults[0], MAIL_KEY_GOOD);
    assert_int_not_equal(faults[1], MAIL_KEY_GOOD);
    assert_int_equal(faults[2], MAIL_KEY_EXPIRED);
    assert_int_equal(faults[3], MAIL_KEY_MALFORMED);
    assert_int_not_equal(changed, MAIL_KEY_GOOD);
    made_free(&made);
}

/* More keys than are kept, and the same ones again: each mail is for its own key. */
static void kept_keys_are_not_mixed_up(void **state)
{
    (void)state;
    enum { KEYS = 70 };
    static struct made made[KEYS];
    char opened[64], sent[64];
    for (int i = 0; i < KEYS; i++)
        made[i] = ordinary(i % 2 ? 10 * DAY : 0, 0);
    for (int i = 0; i < 3 * KEYS; i++) {
        int at = i * 11 % KEYS;
        struct mail_key key = key_of(&made[at]);
        enum mail_key_fault fault;
        struct buf out = {0};
        snprintf(sent, sizeof sent, "mail %d", i);
        assert_int_equal(mail_seal(sealer, &key, NOW + i, span_text(sent), &out, &fault), ERR_OK);
        assert_int_equal(open_with(&made[at], &out, opened, sizeof opened), 0);
        assert_string_equal(opened, sent);
        buf_done(&out);
        if (i % 50 == 0) /* by now some are kept that have ended at that time */
            assert_int_equal(fault_of(&made[at], NOW + 9 * DAY),
                             at % 2 ? MAIL_KEY_EXPIRED : MAIL_KEY_GOOD);
    }
    for (int i = 0; i < KEYS; i++)
        made_free(&made[i]);
}

struct worker {
    pthread_t thread;
    const struct made *made;
    unsigned sealed;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct mail_sealer *own = NULL;
    struct mail_key_info info;
    enum mail_key_fault fault;
    if (mail_sealer_new(&own) != ERR_OK) return NULL;
    for (int i = 0; i < 40; i++) {
        struct mail_key key = key_of(&worker->made[i % 3]);
        struct buf out = {0};
        if (i % 8 == 0 && mail_key_check(own, &key, NOW, &info, &fault) != ERR_OK) break;
        if (mail_seal(own, &key, NOW, SPAN(CANARY), &out, &fault) != ERR_OK) break;
        worker->sealed += memmem(out.data, out.length, CANARY, 12) == NULL;
        buf_done(&out);
    }
    mail_sealer_free(&own);
    return NULL;
}

static void threads_have_sealers_of_their_own(void **state)
{
    (void)state;
    struct made made[] = {ordinary(0, 0), ordinary(0, 0),
                          key_make("RSA", "RSA", NULL, NOW, 0, 0, "somebody@example.com")};
    struct worker workers[4];
    for (size_t i = 0; i < COUNT_OF(workers); i++) {
        workers[i] = (struct worker){.made = made};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(workers); i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].sealed, 40);
    }
    for (size_t i = 0; i < COUNT_OF(made); i++)
        made_free(&made[i]);
}

static void nothing_comes_of_a_full_buffer(void **state)
{
    (void)state;
    struct made made = ordinary(0, 0);
    struct mail_key key = key_of(&made);
    enum mail_key_fault fault;
    struct buf out = {.limit = 100};
    buf_add_text(&out, "before");
    assert_int_equal(mail_seal(sealer, &key, NOW, SPAN(CANARY), &out, &fault), ERR_NO_MEMORY);
    assert_true(span_is(buf_span(&out), "before"));
    out.limit = 0;
    assert_int_equal(mail_seal(sealer, &key, NOW, SPAN(CANARY), &out, &fault), ERR_CRYPTO);
    buf_clear(&out);
    assert_int_equal(mail_seal(sealer, &key, NOW, SPAN(""), &out, &fault), ERR_CRYPTO);
    assert_int_equal(mail_seal(sealer, &key, 0, SPAN(CANARY), &out, &fault), ERR_CRYPTO);
    assert_int_equal(fault, MAIL_KEY_GOOD);
    assert_int_equal(out.length, 0);
    buf_done(&out);
    made_free(&made);
}

/* ---- packets ---- */

static enum mail_key_fault packets(const char *data, size_t length)
{
    return openpgp_packets_check(span_of(data, length));
}
#define PACKETS(literal) packets(literal, sizeof(literal) - 1)

static void packets_are_bounded(void **state)
{
    (void)state;
    /* Version 4, a time, RSA, a modulus of 8 bits, an exponent of 2. */
    static const char key[] = "\xC6\x0C\x04....\x01\x00\x08\xFF\x00\x02\x03";
    struct buf text = {0};
    assert_int_equal(PACKETS("\xC6\x0B\x04....\x01\x00\x08\xFF\x00\x02"), MAIL_KEY_MALFORMED);
    assert_int_equal(packets(key, sizeof key - 1), MAIL_KEY_GOOD);
    assert_int_equal(PACKETS("\x98\x0C\x04....\x01\x00\x08\xFF\x00\x02\x03"), MAIL_KEY_GOOD);
    assert_int_equal(PACKETS("\x99\x00\x0C\x04....\x01\x00\x08\xFF\x00\x02\x03"), MAIL_KEY_GOOD);
    assert_int_equal(PACKETS("\x9A\x00\x00\x00\x0C\x04....\x01\x00\x08\xFF\x00\x02\x03"),
                     MAIL_KEY_GOOD);
    assert_int_equal(PACKETS("\xC6\xFF\x00\x00\x00\x0C\x04....\x01\x00\x08\xFF\x00\x02\x03"),
                     MAIL_KEY_GOOD);
    assert_int_equal(PACKETS("\x9B\x04....\x01\x00\x08\xFF\x00\x02\x03"), MAIL_KEY_MALFORMED);
    assert_int_equal(PACKETS("\xC6\xE1\x04....\x01\x00\x08\xFF\x00\x02\x03"), MAIL_KEY_MALFORMED);
    assert_int_equal(PACKETS("\xC6\xFF\xFF\xFF\xFF\xFF."), MAIL_KEY_MALFORMED);
    assert_int_equal(PACKETS("\xC6\x0D\x04....\x01\x00\x08\xFF\x00\x02\x03"), MAIL_KEY_MALFORMED);
    assert_int_equal(PACKETS("\xCD\x01U"), MAIL_KEY_MALFORMED); /* no key before it */
    assert_int_equal(PACKETS("\xC5\x01."), MAIL_KEY_SECRET);
    assert_int_equal(PACKETS("\x06\x01."), MAIL_KEY_MALFORMED);
    assert_int_equal(PACKETS("\xC6\x08\x04....\x01\xFF\xFF"), MAIL_KEY_MALFORMED);

    assert_int_equal(PACKETS("\xC6\x0C\x04....\x01\x00\x08\xFF\x00\x01\x01"), MAIL_KEY_WEAK);
    buf_add(&text, "\xC6\xFF\x00\x00\x05\x08\x04....\x01\x28\x00", 14); /* 10240 bits */
    for (int i = 0; i < 1280; i++)
        buf_add_char(&text, '\xFF');
    assert_int_equal(openpgp_packets_check(buf_span(&text)), MAIL_KEY_WEAK);

    static const struct {
        const char *packet;
        size_t length;
        unsigned most;
    } parts[] = {{"\xCD\x01U", 3, 32}, {"\xC2\x01S", 3, 192}, {"\xCE\x06\x04....\x16", 8, 16}};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        buf_clear(&text);
        buf_add(&text, key, sizeof key - 1);
        for (unsigned n = 0; n < parts[i].most; n++)
            buf_add(&text, parts[i].packet, parts[i].length);
        assert_int_equal(openpgp_packets_check(buf_span(&text)), MAIL_KEY_GOOD);
        buf_add(&text, parts[i].packet, parts[i].length);
        assert_int_equal(openpgp_packets_check(buf_span(&text)), MAIL_KEY_TOO_COMPLEX);
    }
    buf_done(&text);
}

static void every_refusal_has_its_words(void **state)
{
    (void)state;
    for (enum mail_key_fault fault = MAIL_KEY_GOOD; fault <= MAIL_KEY_WRONG_USAGE; fault++) {
        assert_true(strlen(mail_key_fault_code(fault)) > 2);
        for (enum mail_key_kind kind = MAIL_KEY_OPENPGP; kind <= MAIL_KEY_SMIME; kind++) {
            const char *text = mail_key_fault_text(kind, fault);
            assert_true(strlen(text) > 5 && strlen(text) <= MAIL_KEY_FAULT_TEXT_MAX);
        }
        for (enum mail_key_fault other = MAIL_KEY_GOOD; other < fault; other++)
            assert_string_not_equal(mail_key_fault_code(fault), mail_key_fault_code(other));
    }
}

static void addresses_are_bounded_and_plain(void **state)
{
    (void)state;
    struct mail_key_info info = {0};
    static const char *const none[] = {"",       "Name",      "<",           ">",
                                       "<>",     "a@b>",      "N <a b@c>",   "@b",
                                       "a@",     "N <a@b@c>", "N <a@b\r\n>", "N <a@\u00FC.example>",
                                       "a@b,c@d"};
    for (size_t i = 0; i < COUNT_OF(none); i++)
        mail_key_add_address(&info, span_text(none[i]));
    assert_int_equal(info.address_count, 0);
    mail_key_add_address(&info, SPAN("A <b> (c) <a@b>"));
    mail_key_add_address(&info, SPAN("A@B"));
    assert_int_equal(info.address_count, 1);
    assert_string_equal(info.addresses[0], "a@b");
    for (char c = 'a'; c <= 'z'; c++)
        mail_key_add_address(&info, span_of((char[]){c, '@', c}, 3));
    assert_int_equal(info.address_count, MAIL_KEY_ADDRESSES_MAX);
}

static int sealer_make(void **state)
{
    (void)state;
    return mail_sealer_new(&sealer) != ERR_OK;
}

static int sealer_drop(void **state)
{
    (void)state;
    mail_sealer_free(&sealer);
    mail_sealer_free(&sealer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_with_the_secret_key_alone),
        cmocka_unit_test(tells_what_is_known),
        cmocka_unit_test(validity_is_at_the_time_given),
        cmocka_unit_test(refuses_what_cannot_be_used),
        cmocka_unit_test(refuses_what_is_not_one_key),
        cmocka_unit_test(refuses_a_key_that_was_changed),
        cmocka_unit_test(text_around_the_armour_is_passed_over),
        cmocka_unit_test(librnp_is_silent),
        cmocka_unit_test(kept_keys_are_not_mixed_up),
        cmocka_unit_test(threads_have_sealers_of_their_own),
        cmocka_unit_test(nothing_comes_of_a_full_buffer),
        cmocka_unit_test(packets_are_bounded),
        cmocka_unit_test(every_refusal_has_its_words),
        cmocka_unit_test(addresses_are_bounded_and_plain),
    };
    return cmocka_run_group_tests(tests, sealer_make, sealer_drop);
}
