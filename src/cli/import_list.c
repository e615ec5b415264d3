/* Called by cli/main.c. What always holds: each line of the list is sent at most once but for a 429
 * or 503, and is counted exactly once: as imported, as there before, or as refused. */
#include "cli/import_list.h"

#include "cli/progress.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS = 4, TRIES = 30, PAUSE_S = 1, UNAUTHENTICATED = 401, FORBIDDEN = 403 };

struct list {
    struct invocation *call;
    FILE *file;
    struct progress progress;
    uint64_t number, imported, known, refused;
};

/* Lines of a file, for the bar; 0 of what cannot be read twice. */
static uint64_t lines_count(FILE *file)
{
    struct stat about;
    uint64_t lines = 0;
    char *line = NULL;
    size_t room = 0;
    if (fstat(fileno(file), &about) || !S_ISREG(about.st_mode)) return 0;
    while (getline(&line, &room, file) > 0)
        lines++;
    free(line);
    rewind(file);
    return lines;
}

static char *trim(char *text)
{
    text += strspn(text, " \t\"");
    size_t length = strlen(text);
    while (length && strchr(" \t\"\r\n", text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

/* Customer, hash, start and, with all commas that it has, title ("": none). False: too few. */
static bool line_split(char *line, char *words[WORDS])
{
    unsigned count = 0;
    while (count < WORDS && line) {
        char *comma = count + 1 < WORDS ? strchr(line, ',') : NULL;
        if (comma) *comma = '\0';
        words[count++] = trim(line);
        line = comma ? comma + 1 : NULL;
    }
    if (count < WORDS) words[WORDS - 1] = words[0] + strlen(words[0]);
    return count >= WORDS - 1;
}

/* NULL: not UTF-8, or no memory. */
static json_t *body_make(const struct list *list, char *const words[WORDS])
{
    json_t *of_line = json_pack("{s:s, s:s, s:s, s:s*}", "customer_id", words[0], "hash", words[1],
                                "start", words[2], "title", *words[3] ? words[3] : NULL);
    json_t *body = of_line ? json_copy(list->call->body) : NULL;
    if (body && json_object_update(body, of_line)) {
        json_decref(body);
        body = NULL;
    }
    json_decref(of_line);
    return body;
}

static void tell(struct list *list, const char *who, const char *what, const char *more)
{
    progress_clear(&list->progress);
    fprintf(stderr, "line %llu%s%s: %s%s%s\n", (unsigned long long)list->number, *who ? ", " : "",
            who, what, *more ? " " : "", more);
    list->refused++;
}

static void tell_refusal(struct list *list, const char *who, const struct client_answer *answer)
{
    const json_t *error = json_array_get(json_object_get(answer->json, "errors"), 0);
    const char *location = json_string_value(json_object_get(error, "location"));
    const char *message = json_string_value(json_object_get(error, "message"));
    const char *detail = json_string_value(json_object_get(answer->json, "detail"));
    if (location && message)
        tell(list, who, location, message);
    else
        tell(list, who, detail ? detail : "not taken", "");
}

/* Sends until it is answered with something else than "later". */
static enum exit_code line_send(struct list *list, const json_t *body, struct client_answer *answer)
{
    for (int tries = 1;; tries++) {
        *answer = (struct client_answer){.raw = true};
        enum exit_code code = client_call("POST", list->call->path.data, body, NULL, answer);
        bool later = answer->status == 429 || answer->status == 503;
        if (code || !later || tries == TRIES) return code;
        client_answer_free(answer);
        sleep(PAUSE_S);
    }
}

static enum exit_code line_done(struct list *list, const char *who, struct client_answer *answer)
{
    const char *code = json_string_value(json_object_get(answer->json, "code"));
    const char *detail = json_string_value(json_object_get(answer->json, "detail"));
    bool of_customer = code && strncmp(code, "key_", 4) == 0; /* key_limit_reached */
    if (answer->status == UNAUTHENTICATED || (answer->status == FORBIDDEN && !of_customer)) {
        progress_clear(&list->progress);
        fprintf(stderr, "keymeter: %ld %s: %s\n", answer->status, code ? code : "",
                detail ? detail : "");
        return EXIT_CODE_UNAUTHORISED;
    }
    if (answer->status == 201) {
        if (list->call->as_json) printf("%.*s\n", (int)answer->text.length, answer->text.data);
        list->imported++;
    } else if (code && strcmp(code, "hash_exists") == 0)
        list->known++;
    else
        tell_refusal(list, who, answer);
    return EXIT_CODE_OK;
}

static enum exit_code line_take(struct list *list, char *line)
{
    char *words[WORDS];
    if (!*trim(line)) return EXIT_CODE_OK;
    if (!line_split(line, words)) {
        tell(list, "", "it wants customer, hash and start between commas", "");
        return EXIT_CODE_OK;
    }
    json_t *body = body_make(list, words);
    if (!body) {
        tell(list, "", "it is not UTF-8", "");
        return EXIT_CODE_OK;
    }
    struct client_answer answer;
    enum exit_code code = line_send(list, body, &answer);
    if (!code) code = line_done(list, words[0], &answer);
    client_answer_free(&answer);
    json_decref(body);
    return code;
}

static enum exit_code lines_take(struct list *list)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    enum exit_code code = EXIT_CODE_OK;
    while (!code && (length = getline(&line, &room, list->file)) > 0) {
        list->number++;
        if (strlen(line) == (size_t)length)
            code = line_take(list, line);
        else
            tell(list, "", "it holds a NUL byte", "");
        list->progress.done = list->number;
        progress_show(&list->progress);
    }
    free(line);
    return code;
}

/* The name of the list is for us, and each line's members for the API. */
static bool path_take(json_t *body, char *path, size_t size)
{
    const char *name = json_string_value(json_object_get(body, "list"));
    int length = snprintf(path, size, "%s", name);
    json_object_del(body, "list");
    return length >= 0 && (size_t)length < size;
}

enum exit_code import_list_run(struct invocation *call)
{
    struct list list = {.call = call, .progress = {.what = "lines"}};
    char path[PATH_MAX] = "";
    bool piped = path_take(call->body, path, sizeof path) && strcmp(path, "-") == 0;
    list.file = piped ? stdin : fopen(path, "re");
    if (!list.file) {
        fprintf(stderr, "keymeter: %s: %s\n", path, strerror(errno));
        return EXIT_CODE_LOCAL;
    }
    if (!piped) list.progress.total = lines_count(list.file);
    enum exit_code code = lines_take(&list);
    progress_clear(&list.progress);
    if (!code && ferror(list.file)) {
        fprintf(stderr, "keymeter: %s cannot be read\n", path);
        code = EXIT_CODE_LOCAL;
    }
    if (!piped) fclose(list.file);
    fprintf(stderr, "%llu imported, %llu there before, %llu refused\n",
            (unsigned long long)list.imported, (unsigned long long)list.known,
            (unsigned long long)list.refused);
    if (code)
        fprintf(stderr, "ended at line %llu; send the whole list again\n",
                (unsigned long long)list.number);
    return !code && list.refused ? EXIT_CODE_REFUSED : code;
}
