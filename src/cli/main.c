/* `keymeter`, the command-line client: finds the command in the table (cli/commands.c), makes its
 * request of the options, shows the answer. Keys are read from standard input or a file, never from
 * argv, where every user of the machine could read them. */
#include "base/codec.h"
#include "base/span.h"
#include "base/standard_streams.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/show.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

enum { KEY_LINE_SIZE = 512, IDEMPOTENCY_BYTES = 16, IDEMPOTENCY_KEY_SIZE = 33 };

struct invocation {
    const struct command *command;
    const char *id, *key_file, *idempotency_key;
    char own_key[IDEMPOTENCY_KEY_SIZE]; /* made here when a command that shows a secret has none */
    bool as_json;
    struct buf path;
    json_t *body; /* NULL for GET */
    unsigned query_count;
};

static enum exit_code usage_error(const char *what, const char *word)
{
    fprintf(stderr, "keymeter: %s%s\nTry `keymeter --help`.\n", what, word);
    return EXIT_CODE_LOCAL;
}

/* What stands behind the command's words. */
static const char *argument_of(const struct command *command)
{
    if (!strstr(command->path, "%s")) return "";
    return command->show == SHOW_MAIL ? " KIND" : " ID";
}

static void print_usage(FILE *out)
{
    fputs("usage: keymeter COMMAND [ID] [--OPTION VALUE ...] [--json]\n\n", out);
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &commands[i];
        fprintf(out, "  %s%s%s%s\n      %s\n", command->words[0], command->words[1] ? " " : "",
                command->words[1] ? command->words[1] : "", argument_of(command), command->help);
        for (const struct field *field = command->fields; field->option; field++)
            fprintf(out, "      --%s%s\n", field->option, field->required ? " (needed)" : "");
    }
    fputs("\n  --key-file FILE         where verify reads the key instead of standard input\n"
          "  --idempotency-key TEXT  a random text; makes a call for a secret safe to send again\n"
          "  --json                  the API's answer as it is\n\n"
          "KEYMETER_ADDR   https://…, http:// on this machine, or unix:/path "
          "(http://127.0.0.1:7070)\n"
          "KEYMETER_TOKEN  the service token\n\n"
          "Exit: 0 done, 1 local error, 2 refused or failed, 4 not authorised.\n",
          out);
}

/* ---- the request ---- */

static json_t *list_of(const char *text)
{
    json_t *list = json_array();
    while (list && *text) {
        size_t length = strcspn(text, ",");
        if (length > 0) json_array_append_new(list, json_stringn(text, length));
        text += length + (text[length] == ',');
    }
    return list;
}

static json_t *value_of(const struct field *field, const char *text)
{
    char *end = NULL;
    errno = 0;
    long long number = 0;
    switch (field->type) {
    case FIELD_TEXT:
        return json_string(text);
    case FIELD_LIST:
        return list_of(text);
    case FIELD_FLAG: /* take_word */
        break;
    case FIELD_NUMBER:
        number = strtoll(text, &end, 10);
        return errno || end == text || *end ? NULL : json_integer(number);
    }
    return NULL;
}

/* "key.title": the member title of the object key. */
static bool set_member(json_t *body, const char *member, json_t *value)
{
    const char *dot = strchr(member, '.');
    if (!dot) return json_object_set_new(body, member, value) == 0;
    char outer[32];
    snprintf(outer, sizeof outer, "%.*s", (int)(dot - member), member);
    json_t *inner = json_object_get(body, outer);
    if (!inner) {
        inner = json_object();
        json_object_set_new(body, outer, inner);
    }
    return json_object_set_new(inner, dot + 1, value) == 0;
}

static enum exit_code take_field(struct invocation *call, const struct field *field,
                                 const char *text)
{
    if (!call->body) {
        buf_printf(&call->path, "%c%s=", call->query_count++ ? '&' : '?', field->member);
        client_add_escaped(&call->path, text);
        return EXIT_CODE_OK;
    }
    json_t *value = value_of(field, text);
    if (!value) return usage_error("not UTF-8, or no whole number, at --", field->option);
    return set_member(call->body, field->member, value) ? EXIT_CODE_OK
                                                        : usage_error("no memory", "");
}

static const struct field *find_field(const struct command *command, const char *option)
{
    for (const struct field *field = command->fields; field->option; field++)
        if (strcmp(field->option, option) == 0) return field;
    return NULL;
}

/* --option VALUE. */
static enum exit_code take_option(struct invocation *call, const char *option, const char *value)
{
    if (!value) return usage_error("a value is missing after --", option);
    if (strcmp(option, "idempotency-key") == 0 && call->body) {
        call->idempotency_key = value;
        return EXIT_CODE_OK;
    }
    if (strcmp(option, "key-file") == 0 && call->command->reads_secret) {
        call->key_file = value;
        return EXIT_CODE_OK;
    }
    const struct field *field = find_field(call->command, option);
    if (!field) return usage_error("this command has no option --", option);
    return take_field(call, field, value);
}

/* The value of an option is the next word; a flag has none. */
static enum exit_code take_word(struct invocation *call, const char *option, int argc, char **argv,
                                int *at)
{
    const struct field *field = find_field(call->command, option);
    if (field && field->type == FIELD_FLAG)
        return set_member(call->body, field->member, json_true()) ? EXIT_CODE_OK
                                                                  : usage_error("no memory", "");
    return take_option(call, option, *at < argc ? argv[(*at)++] : NULL);
}

static enum exit_code check_required(const struct invocation *call)
{
    for (const struct field *field = call->command->fields; field->option; field++)
        if (field->required && !json_object_get(call->body, field->member))
            return usage_error("needed: --", field->option);
    return EXIT_CODE_OK;
}

/* Reads a line without showing it when it is typed. */
static bool read_line(FILE *file, char *line, size_t size)
{
    struct termios former;
    bool is_typed = isatty(fileno(file)) && tcgetattr(fileno(file), &former) == 0;
    if (is_typed) {
        struct termios silent = former;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        fputs("Key: ", stderr);
        tcsetattr(fileno(file), TCSAFLUSH, &silent);
    }
    bool got = fgets(line, (int)size, file) != NULL;
    if (is_typed) {
        tcsetattr(fileno(file), TCSAFLUSH, &former);
        fputc('\n', stderr);
    }
    line[got ? strcspn(line, "\r\n") : 0] = '\0';
    return got && line[0] != '\0';
}

static enum exit_code read_key(struct invocation *call)
{
    char line[KEY_LINE_SIZE];
    FILE *file = call->key_file ? fopen(call->key_file, "re") : stdin;
    if (!file) return usage_error("cannot read ", call->key_file);
    setvbuf(file, NULL, _IONBF, 0); /* no copy of the key in a buffer */
    bool got = read_line(file, line, sizeof line);
    if (call->key_file) fclose(file);
    bool set = got && json_object_set_new(call->body, "key", json_string(line)) == 0;
    explicit_bzero(line, sizeof line);
    return set ? EXIT_CODE_OK : usage_error("no key was read", "");
}

/* ---- the answer ---- */

static enum exit_code show_verdict(const json_t *answer, bool as_json)
{
    bool valid = json_is_true(json_object_get(answer, "valid"));
    const char *word = json_string_value(json_object_get(answer, "code"));
    if (!as_json) puts(word ? word : "?");
    return valid ? EXIT_CODE_OK : EXIT_CODE_REFUSED;
}

static void show_secret(const json_t *answer)
{
    const char *secret = json_string_value(json_object_get(answer, "secret"));
    const json_t *key = json_object_get(answer, "key");
    const char *id = json_string_value(json_object_get(key ? key : answer, "id"));
    if (id) fprintf(stderr, "%s: keep the secret, it is shown only now\n", id);
    if (secret) puts(secret);
}

static enum exit_code show(const struct invocation *call, const struct client_answer *answer)
{
    if (call->as_json) {
        fwrite(answer->text.data, 1, answer->text.length, stdout);
        putchar('\n');
    }
    switch (call->command->show) {
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
    case SHOW_SECRET:
        if (!call->as_json) show_secret(answer->json);
        break;
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

static enum exit_code begin_path(struct invocation *call, int argc, char **argv, int *at)
{
    const char *hole = strstr(call->command->path, "%s");
    if (!hole) {
        buf_add_text(&call->path, call->command->path);
        return EXIT_CODE_OK;
    }
    if (*at >= argc || argv[*at][0] == '-')
        return usage_error("missing:", argument_of(call->command));
    buf_add(&call->path, call->command->path, (size_t)(hole - call->command->path));
    client_add_escaped(&call->path, argv[(*at)++]);
    buf_add_text(&call->path, hole + 2);
    return EXIT_CODE_OK;
}

static enum exit_code parse(struct invocation *call, int argc, char **argv, int at)
{
    if (strcmp(call->command->method, "GET") != 0) call->body = json_object();
    enum exit_code code = begin_path(call, argc, argv, &at);
    while (!code && at < argc) {
        const char *word = argv[at++];
        if (strncmp(word, "--", 2) != 0) return usage_error("unexpected: ", word);
        if (strcmp(word, "--json") == 0)
            call->as_json = true;
        else
            code = take_word(call, word + 2, argc, argv, &at);
    }
    if (!code) code = check_required(call);
    if (!code && call->command->reads_secret) code = read_key(call);
    buf_add_char(&call->path, '\0');
    return !code && call->path.failed ? usage_error("too long", "") : code;
}

/* A call that makes a secret may be sent twice, if its answer gets lost. */
static enum exit_code make_own_key(struct invocation *call)
{
    unsigned char random[IDEMPOTENCY_BYTES];
    if (call->command->show != SHOW_SECRET || call->idempotency_key) return EXIT_CODE_OK;
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return usage_error("no random numbers", "");
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
    size_t length = call->path.length - 1; /* without the NUL */
    enum exit_code code = EXIT_CODE_OK;
    for (;;) {
        if (call->as_json) code = show(call, answer);
        if (!call->as_json) show_changes(answer->json, &totals);
        const char *cursor = json_string_value(json_object_get(answer->json, "next_cursor"));
        if (code || !cursor) break;
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

int main(int argc, char **argv)
{
    int at = 0;
    if (standard_streams_fill()) return EXIT_CODE_LOCAL;
#ifndef __SANITIZE_ADDRESS__   /* its leak check attaches to the process */
    prctl(PR_SET_DUMPABLE, 0); /* a core would hold the token */
#endif
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        print_usage(stdout);
        return EXIT_CODE_OK;
    }
    struct invocation call = {.command = find_command(argc, argv, &at)};
    if (!call.command) {
        print_usage(stderr);
        return EXIT_CODE_LOCAL;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return EXIT_CODE_LOCAL;
    struct client_answer answer = {0};
    enum exit_code code = parse(&call, argc, argv, at);
    if (!code) code = ask(&call, &answer);
    bool pages = call.command->show == SHOW_CHANGES;
    if (!code) code = pages ? show_pages(&call, &answer) : show(&call, &answer);
    client_answer_free(&answer);
    json_decref(call.body);
    buf_done(&call.path);
    curl_global_cleanup();
    return fflush(stdout) == EOF ? EXIT_CODE_LOCAL : code;
}
