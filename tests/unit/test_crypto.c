/* crypto/: key files made, refused and loaded; hashes, seals and the audit chain. */
#include "crypto/audit_chain.h"
#include "crypto/envelope.h"
#include "crypto/key_hash.h"
#include "crypto/keyring.h"

#include "base/codec.h"

#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/keymeter-crypto-XXXXXX";
static char master[64], pepper[64], error[KEYRING_ERROR_SIZE];

#define KEY_A "0000000000000000000000000000000000000000000000000000000000000001"
#define KEY_B "00000000000000000000000000000000000000000000000000000000000000ff"

static void put_file(const char *path, const char *text, mode_t mode)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static struct keyring *load(void)
{
    struct keyring *keyring;
    enum err result = keyring_load(&keyring, master, pepper, error);
    if (result != ERR_OK) fail_msg("%s", error);
    return keyring;
}

static enum err load_master(const char *text)
{
    struct keyring *keyring;
    put_file(master, text, 0600);
    enum err result = keyring_load(&keyring, master, pepper, error);
    assert_true((result == ERR_OK) == (keyring != NULL));
    assert_null(strstr(error, KEY_A));
    keyring_free(&keyring);
    return result;
}

static void makes_files_once(void **state)
{
    (void)state;
    struct stat status;
    unlink(master);
    unlink(pepper);
    assert_int_equal(keyring_create(master, pepper, error), ERR_OK);
    assert_int_equal(stat(pepper, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    struct keyring *keyring = load();
    assert_int_equal(keyring_count(keyring, "master"), 1);
    assert_string_equal(keyring_id_at(keyring, "pepper", 0), keyring_pepper_id(keyring));
    assert_string_not_equal(keyring_master_id(keyring), keyring_pepper_id(keyring));
    keyring_free(&keyring);

    assert_int_equal(keyring_create(master, pepper, error), ERR_EXISTS);
    unlink(master);
    assert_int_equal(keyring_create(master, pepper, error), ERR_EXISTS);
    assert_int_equal(stat(master, &status), -1); /* nothing half-made */
    assert_int_equal(stat(pepper, &status), 0);  /* nor lost */
}

static void refuses_bad_files(void **state)
{
    (void)state;
    put_file(pepper, "0a0b0c0d " KEY_B "\n", 0600);
    assert_int_equal(load_master("# ours\n\nabcdef01 " KEY_A "\nabcdef02 " KEY_B), ERR_OK);
    assert_int_equal(load_master(""), ERR_INVALID);
    assert_int_equal(load_master("# none\n"), ERR_INVALID);
    assert_int_equal(load_master("abcdef0 " KEY_A "\n"), ERR_INVALID);
    assert_int_equal(load_master("ABCDEF01 " KEY_A "\n"), ERR_INVALID);
    assert_int_equal(load_master("abcdef01 " KEY_A "0\n"), ERR_INVALID);
    assert_int_equal(load_master("abcdef01\t" KEY_A "\n"), ERR_INVALID);
    assert_int_equal(load_master("abcdef01 " KEY_A "\r\n"), ERR_INVALID);
    assert_int_equal(load_master("abcdef01 " KEY_A "\nabcdef01 " KEY_B "\n"), ERR_INVALID);
    assert_non_null(strstr(error, "line 2"));

    struct keyring *keyring;
    static const mode_t open_modes[] = {0640, 0604, 0620, 0610, 0644};
    for (size_t i = 0; i < COUNT_OF(open_modes); i++) {
        put_file(master, "abcdef01 " KEY_A "\n", open_modes[i]);
        assert_int_equal(keyring_load(&keyring, master, pepper, error), ERR_DENIED);
        assert_non_null(strstr(error, "chmod 600"));
    }
    put_file(master, "abcdef01 " KEY_A "\n", 0400);
    assert_int_equal(keyring_load(&keyring, master, pepper, error), ERR_OK);
    keyring_free(&keyring);
    assert_int_equal(keyring_load(&keyring, "/nonexistent/x", pepper, error), ERR_NOT_FOUND);
    assert_int_equal(keyring_load(&keyring, directory, pepper, error), ERR_INVALID);

    char *large = calloc(1, 6000);
    memset(large, '#', 5999);
    assert_int_equal(load_master(large), ERR_INVALID);
    free(large);
}

static void check_values_tell_keys_apart(void **state)
{
    (void)state;
    unsigned char a[16], b[16];
    put_file(master, "abcdef01 " KEY_A "\nabcdef02 " KEY_B "\n", 0600);
    put_file(pepper, "abcdef01 " KEY_B "\n", 0600);
    struct keyring *keyring = load();
    assert_string_equal(keyring_master_id(keyring), "abcdef01");
    assert_int_equal(keyring_check_value(keyring, "master", "abcdef01", a), ERR_OK);
    assert_int_equal(keyring_check_value(keyring, "pepper", "abcdef01", b), ERR_OK);
    assert_memory_not_equal(a, b, 16);
    assert_int_equal(keyring_check_value(keyring, "master", "abcdef02", a), ERR_OK);
    assert_memory_equal(a, b, 16); /* the same key */
    assert_int_equal(keyring_check_value(keyring, "master", "abcdef03", a), ERR_NOT_FOUND);
    assert_int_equal(keyring_check_value(keyring, "other", "abcdef01", a), ERR_NOT_FOUND);

    unsigned char one[32], two[32];
    keyring_derive(keyring, "replay", SPAN("x"), one);
    keyring_derive(keyring, "replay", SPAN("y"), two);
    assert_memory_not_equal(one, two, 32);
    keyring_derive(keyring, "replaz", SPAN("x"), two);
    assert_memory_not_equal(one, two, 32);
    keyring_free(&keyring);
}

static void lookup_hashes_are_keyed_blake2b(void **state)
{
    (void)state;
    unsigned char one[32];
    char text[65];
    put_file(pepper, "0a0b0c0d " KEY_B "\n0a0b0c0e " KEY_A "\n", 0600);
    struct keyring *keyring = load();
    key_hash(keyring, SPAN("km_live_x"), one);
    hex_encode(text, one, 32); /* Python: hashlib.blake2b(b"km_live_x", digest_size=32, key=…) */
    assert_string_equal(text, "732e6119f8c563ff157ddc90a916241123c92b07c882781d4094f3f60330f103");
    key_fingerprint(one, text);
    assert_int_equal(strlen(text), 8);
    keyring_free(&keyring);
}

static void seals_open_only_in_their_place(void **state)
{
    (void)state;
    struct buf sealed = {0}, plain = {0};
    put_file(master, "abcdef01 " KEY_A "\n", 0600);
    struct keyring *keyring = load();
    assert_int_equal(envelope_seal(keyring, "customer.email", 7, SPAN("a@b.example"), &sealed),
                     ERR_OK);
    assert_int_equal(sealed.length, 11 + ENVELOPE_OVERHEAD);
    assert_null(memmem(sealed.data, sealed.length, "example", 7));
    struct span good = buf_span(&sealed);
    assert_int_equal(envelope_open(keyring, "customer.email", 7, good, &plain), ERR_OK);
    assert_true(span_is(buf_span(&plain), "a@b.example"));
    assert_int_equal(envelope_open(keyring, "customer.email", 8, good, &plain), ERR_CRYPTO);
    assert_int_equal(envelope_open(keyring, "customer.name", 7, good, &plain), ERR_CRYPTO);
    for (size_t i = 0; i < sealed.length; i++) {
        sealed.data[i] ^= 1;
        assert_int_equal(envelope_open(keyring, "customer.email", 7, good, &plain), ERR_CRYPTO);
        sealed.data[i] ^= 1;
        struct span cut = {good.data, i};
        assert_int_equal(envelope_open(keyring, "customer.email", 7, cut, &plain), ERR_CRYPTO);
    }
    assert_int_equal(plain.length, 11); /* nothing was appended by a failure */
    keyring_free(&keyring);

    /* A newer master key: the old seal opens still; without its key it does not. */
    unsigned char before[16], after[16];
    keyring = load();
    blind_index(keyring, SPAN("A@B.example"), before);
    keyring_free(&keyring);
    put_file(master, "abcdef02 " KEY_B "\nabcdef01 " KEY_A "\n", 0600);
    keyring = load();
    assert_int_equal(envelope_open(keyring, "customer.email", 7, good, &plain), ERR_OK);
    blind_index(keyring, SPAN("a@b.EXAMPLE"), after);
    assert_memory_equal(before, after, 16);
    blind_index(keyring, SPAN("a@b.exampl"), after);
    assert_memory_not_equal(before, after, 16);
    keyring_free(&keyring);
    put_file(master, "abcdef02 " KEY_B "\n", 0600);
    keyring = load();
    assert_int_equal(envelope_open(keyring, "customer.email", 7, good, &plain), ERR_CRYPTO);
    keyring_free(&keyring);

    struct keyring *full = load();
    struct buf small = {.limit = 8};
    assert_int_equal(envelope_seal(full, "c", 1, SPAN("x"), &small), ERR_NO_MEMORY);
    keyring_free(&full);
    buf_done(&small);
    buf_done(&sealed);
    buf_done(&plain);
}

static void every_audit_field_counts(void **state)
{
    (void)state;
    const struct audit_entry base = {1,         2, 3,        SPAN("cli"), SPAN("ab"),
                                     SPAN("c"), 0, SPAN(""), SPAN("r"),   SPAN("{}")};
    struct audit_entry changed[] = {base, base, base, base, base, base, base, base, base, base};
    changed[0].sequence++;
    changed[1].id++;
    changed[2].at++;
    changed[3].actor = SPAN("clj");
    changed[4].action = SPAN("a"); /* runs together with the subject but for the lengths */
    changed[4].subject = SPAN("bc");
    changed[5].subject = SPAN("d");
    changed[6].customer_id++;
    changed[7].address = SPAN("::1");
    changed[8].request_id = SPAN("");
    changed[9].detail = SPAN("{ }");
    unsigned char zero[32] = {0}, one[32], two[32];
    audit_chain_next(zero, &base, one);
    for (size_t i = 0; i < COUNT_OF(changed); i++) {
        audit_chain_next(zero, &changed[i], two);
        assert_memory_not_equal(one, two, 32);
    }
    audit_chain_next(one, &base, two);
    assert_memory_not_equal(one, two, 32);
    audit_chain_next(zero, &base, two);
    assert_memory_equal(one, two, 32);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(directory)) return -1;
    snprintf(master, sizeof master, "%s/master", directory);
    snprintf(pepper, sizeof pepper, "%s/pepper", directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(master);
    unlink(pepper);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_files_once),
        cmocka_unit_test(refuses_bad_files),
        cmocka_unit_test(check_values_tell_keys_apart),
        cmocka_unit_test(lookup_hashes_are_keyed_blake2b),
        cmocka_unit_test(seals_open_only_in_their_place),
        cmocka_unit_test(every_audit_field_counts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
