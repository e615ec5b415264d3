/* conf/settings: defaults, files, overrides, and that every mistake is named with its place. */
#include "conf/settings.h"
#include "conf/settings_table.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static char error[SETTINGS_ERROR_SIZE];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/keymeter-settings-XXXXXX");
    char conf_d[96];
    if (!mkdtemp(folder)) return -1;
    snprintf(conf_d, sizeof conf_d, "%s/conf.d", folder);
    return mkdir(conf_d, 0700);
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static enum err load(struct settings *settings)
{
    return settings_load(settings, path_of("keymeter.conf"), NULL, 0, error);
}

/* Loads the text and expects an error that contains `part`. */
static void refuses(const char *text, const char *part)
{
    struct settings settings;
    write_file("keymeter.conf", text);
    assert_int_equal(load(&settings), ERR_INVALID);
    if (!strstr(error, part)) fail_msg("\"%s\" does not tell \"%s\"", error, part);
    settings_done(&settings);
}

static void defaults_stand(void **state)
{
    (void)state;
    struct settings settings;
    write_file("keymeter.conf", "");
    assert_int_equal(load(&settings), ERR_OK);
    assert_string_equal(settings.listen.api, "127.0.0.1:7070");
    assert_string_equal(settings.listen.gateway, "127.0.0.1:7071");
    assert_int_equal(settings.metering.max_wait_ms, 250);
    assert_int_equal(settings.payment.provider, PAYMENT_PROVIDER_NONE);
    assert_int_equal(settings.log.level, SETTINGS_LOG_INFO);
    assert_false(settings.listen.allow_cleartext);
    assert_true(strlen(settings.node.name) > 0);
    settings_done(&settings);
}

static void files_and_overrides_win_in_order(void **state)
{
    (void)state;
    struct settings settings;
    write_file("keymeter.conf", "# a comment\n[listen]\n  api = 127.0.0.1:1\n\tgateway =\n"
                                "[metering]\nmax_wait = 2s\n[database]\nname = from_file\n");
    write_file("conf.d/20.conf", "[listen]\napi = 127.0.0.1:3\n[node]\nname = b\n");
    write_file("conf.d/10.conf", "[listen]\napi = 127.0.0.1:2\nallow_cleartext = yes\n");
    write_file("conf.d/30.conf.bak", "nonsense\n");
    const char *sets[] = {"node.name=c", "payment.provider=http",
                          "payment.url=http://127.0.0.1:1/x?a=b.c", "payment.secret_file=/s"};
    assert_int_equal(settings_load(&settings, path_of("keymeter.conf"), sets, 4, error), ERR_OK);
    assert_string_equal(settings.listen.api, "127.0.0.1:3");
    assert_string_equal(settings.listen.gateway, "");
    assert_true(settings.listen.allow_cleartext);
    assert_int_equal(settings.metering.max_wait_ms, 2000);
    assert_string_equal(settings.database.name, "from_file");
    assert_string_equal(settings.node.name, "c");
    assert_string_equal(settings.payment.url, "http://127.0.0.1:1/x?a=b.c");
    assert_int_equal(settings.payment.provider, PAYMENT_PROVIDER_HTTP);
    settings_done(&settings);
    unlink(path_of("conf.d/10.conf"));
    unlink(path_of("conf.d/20.conf"));
}

static void mistakes_are_named(void **state)
{
    (void)state;
    refuses("[listen]\n\n# x\napii = 1\n", "keymeter.conf:4: unknown setting listen.apii");
    refuses("[listen]\napii = 1\n", "[listen] knows api, gateway");
    refuses("[lisen]\napi = 1\n", "the sections are node, listen");
    refuses("api = 1\n", ":1: \"api\" stands under no section");
    refuses("[listen\napi = 1\n", ":1: neither [section]");
    refuses("[listen]\napi = 127.0.0.1:1\napi = 127.0.0.1:2\n", "stands already on line 2");
    refuses("[listen]\nnot a setting\n", ":2: neither [section]");
    refuses("[listen\n", ":1: neither [section]");
    refuses("[listen]\nallow_cleartext = true\n", "allowed is yes or no");
    refuses("[payment]\nprovider = paypal\n", "one of: none http");
    refuses("[metering]\nmax_wait = 250\n", "10ms to 60000ms");
    refuses("[limits]\npipelined = 65\n", "from 1 to 64");
    refuses("[payment]\nprovider = http\n", "needs payment.url");
    refuses("[payment]\nprovider = stripe\nsecret_file = /s\nurl = https://stripe.example/?a=b\n",
            "no ? and no #");
    refuses("[listen]\napi =\n", "listen.api is empty");
    refuses("[mail]\n\nurl = http://relay.example\n", "keymeter.conf:3: mail.url cannot be");
    refuses("[mail]\nurl = smtp://u:p@relay.example\n", "(STARTTLS), maildir:/path; no user in it");
    refuses("[mail]\nfrom = keys\n", ":2: mail.from cannot be");
    refuses("[mail]\nauth = none\n", "one of: plain login xoauth2");
    refuses("[mail]\nurl = smtps://relay.example\n", "mail.url needs mail.from");
    refuses("[mail]\nusername = u\n", "mail.username and mail.password_file need each other");
    refuses("[mail]\npassword_file = /p\n", "need each other");
    refuses("[mail]\nurl = maildir:/m\nfrom = a@b\nusername = u\npassword_file = /p\n",
            "a maildir has no login");
    refuses("[listen]\ngateway = 127.0.0.1:7070\n", "are the same address");
    refuses("[listen]\napi = unix:/run/a\ngateway = unix:/run/a\n", "are the same address");
}

static void a_line_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char text[4096] = "[node]\nname = ";
    memset(text + strlen(text), 'x', 3000);
    refuses(text, ":2: the line is too long");
}

static void a_nul_byte_is_told_as_one(void **state)
{
    (void)state;
    static const char text[] = "[node]\n# a\0b\nname = a\n";
    struct settings settings;
    FILE *file = fopen(path_of("keymeter.conf"), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, sizeof text - 1, file), sizeof text - 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(load(&settings), ERR_INVALID);
    assert_non_null(strstr(error, ":2: the line holds a NUL byte"));
    settings_done(&settings);
}

static void nothing_is_passed_over(void **state)
{
    (void)state;
    refuses("[node] name = a\n", ":1: something stands behind [section]");
    refuses("[log]\n[node]\rname = a\r", ":2: a carriage return stands within the line");
    refuses("[node]\nname = \x1B[31ma\n", "node.name cannot be \"?[31ma\"");
    struct settings settings;
    write_file("keymeter.conf", "[node] ; whose\n  name = a\n[log]\r\n");
    assert_int_equal(load(&settings), ERR_OK);
    assert_string_equal(settings.node.name, "a");
    settings_done(&settings);
}

static void a_mark_in_front_and_line_ends_of_windows_are_taken(void **state)
{
    (void)state;
    struct settings settings;
    write_file("keymeter.conf", "\xEF\xBB\xBF[node]\r\nname = a\r\n");
    assert_int_equal(load(&settings), ERR_OK);
    assert_string_equal(settings.node.name, "a");
    settings_done(&settings);
}

static void what_is_no_file_is_refused_at_once(void **state)
{
    (void)state;
    struct settings settings;
    char path[160];
    snprintf(path, sizeof path, "%s", path_of("pipe"));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(settings_load(&settings, path, NULL, 0, error), ERR_IO);
    assert_non_null(strstr(error, "pipe cannot be read: it is a pipe"));
    settings_done(&settings);
    assert_int_equal(settings_load(&settings, folder, NULL, 0, error), ERR_IO);
    assert_non_null(strstr(error, "cannot be read: it is a folder"));
    settings_done(&settings);
}

static void values_are_checked_by_type(void **state)
{
    (void)state;
    static const struct {
        const char *assignment;
        bool allowed;
    } cases[] = {
        {"listen.api=[::1]:0", true},
        {"listen.api=unix:/run/x.sock", true},
        {"listen.api=/run/x.sock", true},
        {"listen.api=localhost:1", false},
        {"listen.api=127.0.0.1:65536", false},
        {"listen.api=127.0.0.1", false},
        {"listen.api=[::1:0", false},
        {"listen.trusted_proxies=10.0.0.0/8, ::1/128 192.0.2.1", true},
        {"listen.trusted_proxies=10.0.0.0/33", false},
        {"listen.trusted_proxies=10.0.0/8", false},
        {"payment.url=https://billing.example/keymeter", true},
        {"payment.url=http://localhost:1/x", true},
        {"payment.url=http://billing.example/", false},
        {"payment.url=http://127.0.0.1.example/", false},
        {"payment.url=http://localhost@billing.example/", false},
        {"payment.url=http://localhost:80@billing.example/", false},
        {"payment.url=https://user:word@billing.example/", false},
        {"product.endpoint=https://user@api.example", false},
        {"payment.url=https://billing.example/@x?to=a@b", true},
        {"payment.url=http://localhost:80/@x", true},
        {"payment.url=ftp://127.0.0.1/", false},
        {"portal.base_url=https://keys.example.com", true},
        {"portal.base_url=https://keys.example.com/api", true},
        {"portal.base_url=http://127.0.0.1:7072", true},
        {"portal.base_url=", true},
        {"portal.base_url=https://keys.example.com/", false},
        {"portal.base_url=https://keys.example.com?x", false},
        {"portal.base_url=http://keys.example.com", false},
        {"mail.url=smtps://relay.example.com", true},
        {"mail.url=smtps://relay.example.com:465/client.example.com", true},
        {"mail.url=smtp://127.0.0.1:587", true},
        {"mail.url=smtp://[::1]:587/client", true},
        {"mail.url=maildir:/var/mail/x", true},
        {"mail.url=", true},
        {"mail.url=maildir:", false},
        {"mail.url=maildir:mail", false},
        {"mail.url=maildir:/", false},
        {"mail.url=smtp://", false},
        {"mail.url=smtps://:465", false},
        {"mail.url=smtp+plain://relay.example.com", false},
        {"mail.url=smtps://user:password@relay.example.com", false},
        {"mail.url=smtps://user@relay.example.com", false},
        {"mail.url=smtps://relay.example.com:0", false},
        {"mail.url=smtps://relay.example.com:", false},
        {"mail.url=smtps://relay.example.com:99999999999", false},
        {"mail.url=smtps://relay.example.com/a b", false},
        {"mail.url=smtps://relay.example.com/a%0d%0aMAIL", false},
        {"mail.url=smtps://relay.example.com/a/b", false},
        {"mail.url=smtps://relay.example.com?x", false},
        {"mail.url=smtps://relay_example.com", false},
        {"mail.url=smtp://[::1", false},
        {"mail.url=smtp://[::g]", false},
        {"mail.url=https://relay.example.com", false},
        {"mail.from=Example Keys <keys@example.com>", true},
        {"mail.reply_to=keys@example.com", true},
        {"mail.from=Keys <keys>", false},
        {"mail.from=keys@example.com, other@example.com", false},
        {"product.name=M\xC3\xBCller & Co", true},
        {"product.name=", true},
        {"product.name=M\xFCller", false},
        {"product.name=a\x01", false},
        {"product.name=a\xE2\x80\xAE", false},
        {"product.support=Help <help@example.com>", true},
        {"product.support=help", false},
        {"product.documentation_url=https://example.com/docs", true},
        {"product.documentation_url=example.com/docs", false},
        {"product.endpoint=http://example.com", false},
        {"product.header=X-API-Key", true},
        {"product.header=Authorization: Bearer", true},
        {"product.header=Authorization:", false},
        {"product.header=Authorization: ", false},
        {"product.header=Authorization: Bearer x", false},
        {"product.header=X API Key", false},
        {"product.header=X-Key'", false},
        {"product.header=", false},
        {"mail.templates=/etc/keymeter/mail", true},
        {"mail.templates=mail", false},
        {"mail.language=de", true},
        {"mail.language=pt-BR", true},
        {"mail.language=", false},
        {"mail.language=deutsch_", false},
        {"mail.username=user@example.com", true},
        {"mail.username=a b", false},
        {"mail.connections=0", false},
        {"mail.connections=33", false},
        {"mail.queue=65536", true},
        {"mail.timeout=10m", true},
        {"mail.timeout=21m", false},
        {"keys.pepper_file=pepper", false},
        {"keys.pepper_file=", true},
        {"database.hosts=db.example:3306", true},
        {"database.hosts=db.example:0", false},
        {"database.hosts=a,b:3307,[2001:db8::1]:3306", true},
        {"database.hosts=a,", false},
        {"database.hosts=a,:3306", false},
        {"database.hosts=a, b", false},
        {"node.name=a b", false},
        {"metering.max_wait=9ms", false},
        {"metering.max_wait=-1s", false},
        {"metering.max_wait=1 s", true},
        {"metering.max_wait=99999999999999999999s", false},
        {"limits.pipelined=08", true},
        {"limits.pipelined=", false},
        {"limits.pipelined=1x", false},
        {"nonsense", false},
        {"a=b.c", false},
    };
    struct settings settings;
    write_file("keymeter.conf", "");
    assert_int_equal(load(&settings), ERR_OK);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        enum err result = settings_set(&settings, cases[i].assignment, error);
        if ((result == ERR_OK) != cases[i].allowed) fail_msg("%s", cases[i].assignment);
    }
    settings_done(&settings);
}

static void rotations_go_by_themselves_with_mail(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool rotates;
    } cases[] = {
        {"", false},
        {"[mail]\nurl = maildir:/m\nfrom = a@b\n", true},
        {"[mail]\nurl = maildir:/m\nfrom = a@b\n[rotation]\nautomatic = no\n", false},
        {"[rotation]\nautomatic = yes\n", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct settings settings;
        write_file("keymeter.conf", cases[i].text);
        assert_int_equal(load(&settings), ERR_OK);
        assert_int_equal(settings_rotates(&settings), cases[i].rotates);
        settings_done(&settings);
    }
}

static void a_file_that_was_named_must_exist(void **state)
{
    (void)state;
    struct settings settings;
    assert_int_equal(settings_load(&settings, path_of("absent"), NULL, 0, error), ERR_IO);
    assert_non_null(strstr(error, "absent"));
    settings_done(&settings);
}

static void what_is_shown_loads_again(void **state)
{
    (void)state;
    struct settings settings;
    write_file("keymeter.conf", "[metering]\nmax_wait = 1m\n[log]\nlevel = warn\n");
    assert_int_equal(load(&settings), ERR_OK);
    FILE *file = fopen(path_of("shown.conf"), "w");
    assert_non_null(file);
    settings_write(&settings, file);
    fclose(file);
    settings_done(&settings);
    assert_int_equal(settings_load(&settings, path_of("shown.conf"), NULL, 0, error), ERR_OK);
    assert_int_equal(settings.metering.max_wait_ms, 60000);
    assert_int_equal(settings.log.level, SETTINGS_LOG_WARN);
    settings_done(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_stand),
        cmocka_unit_test(files_and_overrides_win_in_order),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(a_line_that_is_too_long_is_refused),
        cmocka_unit_test(a_nul_byte_is_told_as_one),
        cmocka_unit_test(nothing_is_passed_over),
        cmocka_unit_test(a_mark_in_front_and_line_ends_of_windows_are_taken),
        cmocka_unit_test(what_is_no_file_is_refused_at_once),
        cmocka_unit_test(values_are_checked_by_type),
        cmocka_unit_test(rotations_go_by_themselves_with_mail),
        cmocka_unit_test(a_file_that_was_named_must_exist),
        cmocka_unit_test(what_is_shown_loads_again),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
