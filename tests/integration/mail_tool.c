/* What tests/integration/test_mail_seal.py drives: keys checked and mails composed as the daemon
 * does.
 *
 *   mail_tool check openpgp|smime NOW <KEY       what is known of a key, or why it is refused: JSON
 *   mail_tool compose <JSON                      the mail; or JSON with the fault, and status 1
 *   mail_tool speed openpgp|gcm|cbc NOW SECONDS KEYFILE…   mails a second of one thread, and memory
 */
#include "base/clock.h"
#include "base/json.h"
#include "service/mail_compose.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { INPUT_MAX = 1 << 20 };

static struct mail_sealer *sealer;

static struct span read_all(FILE *file)
{
    char *data = malloc(INPUT_MAX);
    if (!data || !file) exit(2);
    return span_of(data, fread(data, 1, INPUT_MAX, file));
}

static int64_t number(const char *text)
{
    return strtoll(text, NULL, 10);
}

static struct mail_key key_of(const char *form, struct span text)
{
    bool openpgp = !strcmp(form, "openpgp");
    return (struct mail_key){openpgp ? MAIL_KEY_OPENPGP : MAIL_KEY_SMIME,
                             !strcmp(form, "cbc") ? MAIL_CIPHER_CBC : MAIL_CIPHER_GCM, text};
}

static int tell(json_t *told, int status)
{
    json_dumpf(told, stdout, JSON_COMPACT);
    json_decref(told);
    return status;
}

static int check(const char *form, const char *now)
{
    struct span text = read_all(stdin);
    struct mail_key key = key_of(form, text);
    struct mail_key_info info;
    enum mail_key_fault fault;
    enum err error = mail_key_check(sealer, &key, number(now), &info, &fault);
    json_t *addresses = json_array();
    for (unsigned i = 0; i < info.address_count; i++)
        json_array_append_new(addresses, json_string(info.addresses[i]));
    free((char *)text.data);
    return tell(json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:o}", "error", err_name(error), "fault",
                          mail_key_fault_code(fault), "text", mail_key_fault_text(key.kind, fault),
                          "fingerprint", info.fingerprint, "algorithm", info.algorithm, "not_after",
                          (json_int_t)info.not_after_s, "addresses", addresses),
                error != ERR_OK);
}

static struct span member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return span_of(json_string_value(value), json_string_length(value));
}

static struct mail_message message_of(const json_t *object)
{
    return (struct mail_message){
        .from = {member(object, "from_name"), member(object, "from")},
        .to = {member(object, "to_name"), member(object, "to")},
        .reply_to = {member(object, "reply_to_name"), member(object, "reply_to")},
        .subject = member(object, "subject"),
        .outer_subject = member(object, "outer_subject"),
        .message_id = member(object, "message_id"),
        .date_s = json_integer_value(json_object_get(object, "date")),
        .boundary = member(object, "boundary"),
        .text = member(object, "text"),
        .html = member(object, "html"),
    };
}

static int compose(void)
{
    struct mail_compose_fault fault;
    CLEANUP(buf_done) struct buf out = {.limit = MAIL_MESSAGE_MAX};
    struct span input = read_all(stdin);
    json_error_t wrong;
    json_t *object = json_loadb(input.data, input.length, JSON_ALLOW_NUL, &wrong);
    if (!object) return 2;
    struct mail_message message = message_of(object);
    struct mail_key key = key_of(member(object, "form").data ? member(object, "form").data : "",
                                 member(object, "key"));
    int64_t now_s = json_integer_value(json_object_get(object, "now"));
    enum err error =
        mail_compose(sealer, &message, key.text.length ? &key : NULL, now_s, &out, &fault);
    json_decref(object);
    free((char *)input.data);
    if (error == ERR_OK) return fwrite(out.data, 1, out.length, stdout) == out.length ? 0 : 2;
    return tell(json_pack("{s:s, s:s?, s:s?, s:s, s:I}", "error", err_name(error), "field",
                          fault.message.field, "reason", fault.message.reason, "key",
                          mail_key_fault_code(fault.key), "length", (json_int_t)out.length),
                1);
}

static long memory_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static int speed(const char *form, const char *now, const char *seconds, char **files, int count)
{
    static char text[2000], html[6000];
    static struct mail_key keys[256];
    struct mail_compose_fault fault;
    CLEANUP(buf_done) struct buf out = {0};
    memset(text, 't', sizeof text);
    memset(html, 'h', sizeof html);
    for (int i = 0; i < count; i++) {
        FILE *file = fopen(files[i], "re");
        keys[i] = key_of(form, read_all(file));
        fclose(file);
    }
    struct mail_message message = {
        .from = {SPAN("Acme API"), SPAN("keys@acme.example")},
        .to = {SPAN("J\u00FCrgen"), SPAN("j@example.com")},
        .subject = SPAN("Your new API key"),
        .outer_subject = SPAN("A message about your API key"),
        .message_id = SPAN("ntf_1@acme.example"),
        .date_s = number(now),
        .boundary = SPAN("0123456789abcdefghij"),
        .text = span_of(text, sizeof text),
        .html = span_of(html, sizeof html),
    };
    int64_t begin = clock_mono_us(), end = begin + number(seconds) * 1000000, done = 0;
    long first = 0;
    for (; clock_mono_us() < end; done++) {
        buf_clear(&out);
        if (mail_compose(sealer, &message, &keys[done % count], number(now), &out, &fault) !=
            ERR_OK) {
            fprintf(stderr, "mail_tool: refused: %s\n", mail_key_fault_code(fault.key));
            return 1;
        }
        if (done == 200) first = memory_kib();
    }
    double taken = (double)(clock_mono_us() - begin) / 1e6;
    printf("%s: %lld mails in %.1f s, %.0f a second, %zu bytes each, memory %ld KiB after 200, %ld "
           "KiB at the end\n",
           form, (long long)done, taken, (double)done / taken, out.length, first, memory_kib());
    for (int i = 0; i < count; i++)
        free((char *)keys[i].text.data);
    return 0;
}

int main(int argc, char **argv)
{
    int status = 2;
    if (mail_sealer_new(&sealer) != ERR_OK) return 3;
    if (argc == 4 && !strcmp(argv[1], "check"))
        status = check(argv[2], argv[3]);
    else if (argc == 2 && !strcmp(argv[1], "compose"))
        status = compose();
    else if (argc >= 6 && argc <= 5 + 256 && !strcmp(argv[1], "speed"))
        status = speed(argv[2], argv[3], argv[4], argv + 5, argc - 5);
    else
        fprintf(stderr, "usage: mail_tool check|compose|speed … (see the source)\n");
    mail_sealer_free(&sealer);
    return status;
}
