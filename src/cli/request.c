/* Called by cli/main.c. What always holds: keys and other secrets are read from standard input or a
 * file, never from argv, where every user of the machine could read them. */
#include "cli/request.h"

#include "base/json.h"
#include "base/span.h"
#include "cli/help.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { KEY_LINE_SIZE = 512, FILE_MAX = 1 << 20, PIECE_SIZE = 4096 };

static enum exit_code usage_error(const char *what, const char *word)
{
    fprintf(stderr, "keymeter: %s%s\nTry `keymeter --help`.\n", what, word);
    return EXIT_CODE_LOCAL;
}

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

static json_t *json_of(const char *text)
{
    char wrong[JSON_ERROR_SIZE];
    json_t *value = NULL;
    return json_parse_strict(span_text(text), &value, wrong) ? NULL : value;
}

/* A file's text without the line end behind it; "-": standard input. */
static bool file_read(const char *path, struct buf *out)
{
    char piece[PIECE_SIZE];
    size_t got;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file) return false;
    setvbuf(file, NULL, _IONBF, 0); /* no copy of a secret in a buffer */
    while ((got = fread(piece, 1, sizeof piece, file)) > 0 && !out->failed)
        buf_add(out, piece, got);
    bool good = !ferror(file) && !out->failed;
    if (file != stdin) fclose(file);
    explicit_bzero(piece, sizeof piece);
    while (good && out->length && strchr("\r\n", out->data[out->length - 1]))
        out->length--;
    return good;
}

static void file_done(struct buf *content)
{
    if (content->data) explicit_bzero(content->data, content->capacity);
    buf_done(content);
}

static json_t *value_of(const struct field *field, const char *text)
{
    char *end = NULL;
    errno = 0;
    long long number = 0;
    json_t *value;
    struct buf content = {.limit = FILE_MAX};
    switch (field->type) {
    case FIELD_TEXT:
    case FIELD_PATH:
        return json_string(text);
    case FIELD_LIST:
        return list_of(text);
    case FIELD_FLAG: /* take_word */
        break;
    case FIELD_JSON:
        return json_of(text);
    case FIELD_FILE:
        value = file_read(text, &content) ? json_stringn(content.data, content.length) : NULL;
        file_done(&content);
        return value;
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

static const char *const wrong_value[] = {
    [FIELD_TEXT] = "not UTF-8: --",
    [FIELD_PATH] = "not UTF-8: --",
    [FIELD_NUMBER] = "no whole number: --",
    [FIELD_LIST] = "not UTF-8: --",
    [FIELD_FLAG] = "no flag: --",
    [FIELD_JSON] = "no JSON object or array: --",
    [FIELD_FILE] = "not UTF-8, or cannot be read: --",
};

static enum exit_code take_field(struct invocation *call, const struct field *field,
                                 const char *text)
{
    if (!call->body) {
        buf_printf(&call->path, "%c%s=", call->query_count++ ? '&' : '?', field->member);
        client_add_escaped(&call->path, text);
        return EXIT_CODE_OK;
    }
    json_t *value = value_of(field, text);
    if (!value) return usage_error(wrong_value[field->type], field->option);
    return set_member(call->body, field->member, value) ? EXIT_CODE_OK
                                                        : usage_error("no memory", "");
}

static const struct field *find_field(const struct command *command, const char *option)
{
    for (const struct field *field = command->fields; field->option; field++)
        if (strcmp(field->option, option) == 0) return field;
    return NULL;
}

/* The body as JSON; what options say goes before it. */
static enum exit_code take_body(struct invocation *call, const char *path)
{
    char wrong[JSON_ERROR_SIZE] = "cannot be read";
    struct buf content = {.limit = FILE_MAX};
    json_t *body = NULL;
    if (file_read(path, &content)) {
        enum err error = json_parse_strict(buf_span(&content), &body, wrong);
        if (!error && json_is_object(body) && json_object_update_missing(call->body, body) == 0)
            wrong[0] = '\0';
        else if (!error)
            snprintf(wrong, sizeof wrong, "not an object");
    }
    json_decref(body);
    file_done(&content);
    return wrong[0] ? usage_error("--body: ", wrong) : EXIT_CODE_OK;
}

/* --option VALUE. */
static enum exit_code take_option(struct invocation *call, const char *option, const char *value)
{
    if (!value) return usage_error("a value is missing after --", option);
    if (strcmp(option, "idempotency-key") == 0 && help_has_body(call->command)) {
        call->idempotency_key = value;
        return EXIT_CODE_OK;
    }
    if (strcmp(option, "body") == 0 && help_has_body(call->command)) return take_body(call, value);
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

static enum exit_code begin_path(struct invocation *call, int argc, char **argv, int *at)
{
    const char *hole = strstr(call->command->path, "%s");
    if (!hole) {
        buf_add_text(&call->path, call->command->path);
        return EXIT_CODE_OK;
    }
    if (*at >= argc || argv[*at][0] == '-' || argv[*at][0] == '\0')
        return usage_error("missing:", help_argument(call->command));
    buf_add(&call->path, call->command->path, (size_t)(hole - call->command->path));
    client_add_escaped(&call->path, argv[(*at)++]);
    buf_add_text(&call->path, hole + 2);
    return EXIT_CODE_OK;
}

enum exit_code request_parse(struct invocation *call, int argc, char **argv, int at)
{
    const char *method = call->command->method;
    if (strcmp(method, "GET") != 0 && strcmp(method, "DELETE") != 0) call->body = json_object();
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
