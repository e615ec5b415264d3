/* base/mailbox and base/secret_file: what is an address, whose secrets are read. */
#include "base/mailbox.h"

#include "base/secret_file.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void addresses_are_judged(void **state)
{
    (void)state;
    static const char *const good[] = {"a@b", "name.last+tag@example.com",
                                       "o'hara@xn--bcher-kva.example",
                                       "!#$%&'*+-/=?^_`{|}~@example.com"};
    static const char *const bad[] = {
        "",           "a",          "@",           "@b",    "a@",    "a@b@c",
        "a b@c",      "a@b c",      "a@b\r\n",     "a@b\n", "<a@b>", "a@b>",
        "a,b@c",      "\"a\"@b",    "a@[1.2.3.4]", "a:b@c", "a;b@c", "a\\b@c",
        "\xc3\xa9@b", "a@\xc3\xa9", "a@b\x7f",     "a\t@b",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++)
        if (!mailbox_address_is_good(span_text(good[i]))) fail_msg("%s", good[i]);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (mailbox_address_is_good(span_text(bad[i]))) fail_msg("%s", bad[i]);
    assert_false(mailbox_address_is_good(SPAN("a@b\0c")));
    char text[300];
    memset(text, 'a', sizeof text);
    text[64] = '@';
    assert_true(mailbox_address_is_good(span_of(text, 254)));
    assert_false(mailbox_address_is_good(span_of(text, 255)));
    text[64] = 'a';
    text[65] = '@';
    assert_false(mailbox_address_is_good(span_of(text, 80)));
}

static void a_name_may_stand_before_the_address(void **state)
{
    (void)state;
    struct mailbox mailbox;
    assert_true(mailbox_parse(SPAN("Example Keys, Inc. <keys@example.com>"), &mailbox));
    assert_string_equal(mailbox.name, "Example Keys, Inc.");
    assert_string_equal(mailbox.address, "keys@example.com");
    assert_true(mailbox_parse(SPAN("keys@example.com"), &mailbox));
    assert_string_equal(mailbox.name, "");
    assert_true(mailbox_parse(SPAN("<keys@example.com>"), &mailbox));
    assert_string_equal(mailbox.address, "keys@example.com");
    assert_false(mailbox_parse(SPAN(""), &mailbox));
    assert_false(mailbox_parse(SPAN("<"), &mailbox));
    assert_false(mailbox_parse(SPAN("<>"), &mailbox));
    assert_false(mailbox_parse(SPAN("Keys keys@example.com"), &mailbox));
    assert_false(mailbox_parse(SPAN("Keys <keys@example.com> x"), &mailbox));
    assert_false(mailbox_parse(SPAN("Keys\r\nBcc: x <keys@example.com>"), &mailbox));
    assert_false(mailbox_parse(SPAN("\"Keys\" <keys@example.com>"), &mailbox));
    char text[200];
    memset(text, 'n', sizeof text);
    memcpy(text + 128, "<a@b>", 5);
    assert_true(mailbox_parse(span_of(text, 133), &mailbox));
    assert_int_equal(strlen(mailbox.name), 128);
    memcpy(text + 128, "n<a@b>", 6);
    assert_false(mailbox_parse(span_of(text, 134), &mailbox));
}

static char folder[] = "/tmp/keymeter-secret-XXXXXX";

static enum err read_of(const char *text, size_t length, mode_t mode, struct secret **out)
{
    char path[64], error[SECRET_FILE_ERROR_SIZE] = "";
    snprintf(path, sizeof path, "%s/secret", folder);
    unlink(path);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(file >= 0 && write(file, text, length) == (ssize_t)length);
    assert_int_equal(fchmod(file, mode), 0);
    close(file);
    enum err result = secret_file_read(out, path, error);
    if (result != ERR_OK) {
        assert_null(*out);
        assert_non_null(strstr(error, path));
        assert_null(strstr(error, "hunter"));
    }
    unlink(path);
    return result;
}

static void secrets_are_read_where_only_the_owner_may(void **state)
{
    (void)state;
    struct secret *secret = NULL;
    assert_int_equal(read_of("hunter 2\r\n", 10, 0600, &secret), ERR_OK);
    assert_string_equal(secret->text, "hunter 2");
    secret_free(&secret);
    assert_int_equal(read_of("hunter2\n\n", 9, 0400, &secret), ERR_OK);
    assert_string_equal(secret->text, "hunter2\n");
    secret_free(&secret);
    static const mode_t modes[] = {0640, 0604, 0610, 0602, 0666};
    for (size_t i = 0; i < COUNT_OF(modes); i++)
        assert_int_equal(read_of("hunter2\n", 8, modes[i], &secret), ERR_DENIED);
    char large[SECRET_FILE_MAX + 2];
    memset(large, 'x', sizeof large);
    assert_int_equal(read_of(large, SECRET_FILE_MAX, 0600, &secret), ERR_OK);
    assert_int_equal(secret->length, SECRET_FILE_MAX);
    secret_free(&secret);
    assert_int_equal(read_of(large, SECRET_FILE_MAX + 1, 0600, &secret), ERR_FULL);
    char error[SECRET_FILE_ERROR_SIZE] = "";
    assert_int_equal(secret_file_read(&secret, "/nowhere/at/all", error), ERR_IO);
    assert_non_null(strstr(error, "/nowhere/at/all"));
}

static int folder_make(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_judged),
        cmocka_unit_test(a_name_may_stand_before_the_address),
        cmocka_unit_test(secrets_are_read_where_only_the_owner_may),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
