/* `keymeter`, the command-line client: finds the command in the table (cli/commands.c), has its
 * request made of the options (request.c), shows the answer. */
#include "base/codec.h"
#include "base/standard_streams.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/doctor.h"
#include "cli/help.h"
#include "cli/import_list.h"
#include "cli/progress.h"
#include "cli/request.h"
#include "cli/show.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

enum { IDEMPOTENCY_BYTES = 16 };

/* ---- the answer ---- */

static enum exit_code show_verdict(const json_t *answer, bool as_json)
{
    bool valid = json_is_true(json_object_get(answer, "valid"));
    const char *word = json_string_value(json_object_get(answer, "code"));
    if (!as_json) puts(word ? word : "?");
    return valid ? EXIT_CODE_OK : EXIT_CODE_REFUSED;
}

static enum exit_code show_chain(const json_t *answer, bool as_json)
{
    const char *fault = json_string_value(json_object_get(answer, "broken_by"));
    long long first = json_integer_value(json_object_get(answer, "first"));
    long long last = json_integer_value(json_object_get(answer, "last"));
    if (!as_json && fault)
        printf("broken at row %lld: %s\n",
               (long long)json_integer_value(json_object_get(answer, "broken_at")), fault);
    else if (!as_json)
        printf("rows %lld to %lld: whole\n", first, last);
    return fault ? EXIT_CODE_REFUSED : EXIT_CODE_OK;
}

static void show_secret(const json_t *answer)
{
    const char *secret = json_string_value(json_object_get(answer, "secret"));
    const json_t *key = json_object_get(answer, "key");
    const char *id = json_string_value(json_object_get(key ? key : answer, "id"));
    if (id) fprintf(stderr, "%s: keep the secret, it is shown only now\n", id);
    if (secret) puts(secret);
}

static void show_link(const json_t *answer)
{
    const char *link = json_string_value(json_object_get(answer, "url"));
    const char *end = json_string_value(json_object_get(answer, "expires_at"));
    if (link) puts(link);
    if (end) fprintf(stderr, "it opens once, until %s\n", end);
}

static enum exit_code show(const struct invocation *call, const struct client_answer *answer)
{
    if (call->as_json) {
        if (answer->text.length) fwrite(answer->text.data, 1, answer->text.length, stdout);
        if (answer->text.length) putchar('\n');
    }
    switch (call->command->show) {
    case SHOW_CHAIN:
        return show_chain(answer->json, call->as_json);
    case SHOW_VERDICT:
        return show_verdict(answer->json, call->as_json);
    case SHOW_TABLE:
        if (!call->as_json) show_table(answer->json, call->command->columns);
        break;
    case SHOW_MAIL:
        if (!call->as_json) show_mail(answer->json);
        break;
    case SHOW_OBJECT:
    case SHOW_RELAY:
        if (!call->as_json) show_object(answer->json);
        break;
    case SHOW_LINK:
        if (!call->as_json) show_link(answer->json);
        break;
    case SHOW_SECRET:
        if (!call->as_json) show_secret(answer->json);
        break;
    case SHOW_DOCTOR: /* main */
    case SHOW_COMPLETION:
    case SHOW_IMPORT:
    case SHOW_CHANGES:
        break; /* show_pages */
    }
    return EXIT_CODE_OK;
}

/* ---- argv ---- */

static const struct command *find_command(int argc, char **argv, int *at)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &commands[i];
        if (argc < 2 || strcmp(argv[1], command->words[0]) != 0) continue;
        *at = command->words[1] ? 3 : 2;
        if (!command->words[1]) return command;
        if (argc > 2 && strcmp(argv[2], command->words[1]) == 0) return command;
    }
    return NULL;
}

/* A call that makes a secret may be sent twice, if its answer gets lost. */
static enum exit_code make_own_key(struct invocation *call)
{
    unsigned char random[IDEMPOTENCY_BYTES];
    enum show show = call->command->show;
    if ((show != SHOW_SECRET && show != SHOW_LINK) || call->idempotency_key) return EXIT_CODE_OK;
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        fputs("keymeter: no random numbers\n", stderr);
        return EXIT_CODE_LOCAL;
    }
    hex_encode(call->own_key, random, sizeof random);
    call->idempotency_key = call->own_key;
    return EXIT_CODE_OK;
}

static enum exit_code ask(struct invocation *call, struct client_answer *answer)
{
    enum exit_code code = make_own_key(call);
    if (code) return code;
    answer->waits = call->command->show == SHOW_RELAY;
    code = client_call(call->command->method, call->path.data, call->body, call->idempotency_key,
                       answer);
    if (call->own_key[0] && (answer->lost || answer->status == 503))
        fprintf(stderr,
                "keymeter: it may have been done; the same with --idempotency-key %s gives the "
                "answer, or does it now\n",
                call->own_key);
    return code;
}

/* Page after page, until the last one. */
static enum exit_code show_pages(struct invocation *call, struct client_answer *answer)
{
    struct show_totals totals = {0};
    struct progress progress = {.what = "customers"};
    size_t length = call->path.length - 1; /* without the NUL */
    enum exit_code code = EXIT_CODE_OK;
    for (;;) {
        progress_clear(&progress);
        if (call->as_json) code = show(call, answer);
        if (!call->as_json) show_changes(answer->json, &totals);
        fflush(stdout);
        progress.done += json_array_size(json_object_get(answer->json, "data"));
        const char *cursor = json_string_value(json_object_get(answer->json, "next_cursor"));
        if (code || !cursor) break;
        progress_show(&progress);
        call->path.length = length;
        buf_printf(&call->path, "?cursor=");
        client_add_escaped(&call->path, cursor);
        buf_add_char(&call->path, '\0');
        client_answer_free(answer);
        *answer = (struct client_answer){0};
        code = ask(call, answer);
        if (code) return code;
    }
    if (!call->as_json)
        fprintf(stderr, "%lu read, %lu differed, %lu could not be read\n", totals.read,
                totals.changed, totals.unread);
    return !code && totals.unread ? EXIT_CODE_REFUSED : code;
}

static enum exit_code run(struct invocation *call)
{
    struct client_answer answer = {0};
    enum show form = call->command->show;
    if (form == SHOW_DOCTOR) return doctor_run(call->as_json);
    if (form == SHOW_IMPORT) return import_list_run(call);
    enum exit_code code = ask(call, &answer);
    if (!code) code = form == SHOW_CHANGES ? show_pages(call, &answer) : show(call, &answer);
    client_answer_free(&answer);
    return code;
}

int main(int argc, char **argv)
{
    int at = 0;
    if (standard_streams_fill()) return EXIT_CODE_LOCAL;
#ifndef __SANITIZE_ADDRESS__   /* its leak check attaches to the process */
    prctl(PR_SET_DUMPABLE, 0); /* a core would hold the token */
#endif
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("keymeter " KEYMETER_VERSION);
        return fflush(stdout) == EOF ? EXIT_CODE_LOCAL : EXIT_CODE_OK;
    }
    if (help_wanted(argc, argv)) {
        enum exit_code helped = help_print(argc, argv);
        return fflush(stdout) == EOF ? EXIT_CODE_LOCAL : helped;
    }
    struct invocation call = {.command = find_command(argc, argv, &at)};
    if (!call.command) {
        help_verbs(argc > 1 ? argv[1] : NULL, stderr);
        return EXIT_CODE_LOCAL;
    }
    if (call.command->show == SHOW_COMPLETION) {
        if (at < argc) {
            fprintf(stderr, "keymeter: unexpected: %s\n", argv[at]);
            return EXIT_CODE_LOCAL;
        }
        completion_print(call.command->words[1]);
        return fflush(stdout) == EOF ? EXIT_CODE_LOCAL : EXIT_CODE_OK;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return EXIT_CODE_LOCAL;
    enum exit_code code = request_parse(&call, argc, argv, at);
    if (!code) code = run(&call);
    json_decref(call.body);
    buf_done(&call.path);
    client_done();
    curl_global_cleanup();
    return fflush(stdout) == EOF ? EXIT_CODE_LOCAL : code;
}
