/* Importing keys that were issued elsewhere. Called by the routing of the dashboard on the loop
 * thread. What always holds: each line is one call of POST /v1/keys/import, checked, done and
 * audited there; lines are done in turn (api/admin_work.h), and what became of each is told, also
 * where one failed; a line that was imported before is refused as such, so that a list can be sent
 * again.
 *
 * A browser with scripts sends a long list in pieces, and shows how far it is (admin.js). */
#include "api/admin.h"
#include "api/admin_action.h"
#include "api/admin_work.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MOST = 200, WORDS = 4 };

struct import_run {
    struct admin_work work;
    struct admin_action *action;
    const char *rest; /* of the lines, in the form */
    json_t *results;
    json_int_t number, good;
    char line[1024];
};

static struct admin_page *import_page(struct http_request *request)
{
    return admin_page_new(request, "admin_import", "Import keys", "keys");
}

static void algorithms_set(struct admin_page *page)
{
    static const char *const algorithms[] = {"sha256", "SHA-256 of the key", "hmac-sha256",
                                             "HMAC-SHA-256 of the key", NULL};
    static const char *const encodings[] = {"text",   "as text",   "hex", "in hex",
                                            "base64", "in base64", NULL};
    const json_t *form = json_object_get(page->context, "form");
    admin_page_set(
        page, "algorithms",
        admin_options(algorithms, json_string_value(json_object_get(form, "algorithm"))));
    admin_page_set(
        page, "encodings",
        admin_options(encodings, json_string_value(json_object_get(form, "hmac_key_encoding"))));
}

static void import_finish(struct admin_page *page)
{
    algorithms_set(page);
    admin_page_show(page);
}

struct verdict handle_admin_import_page(struct http_request *request)
{
    struct admin_page *page = import_page(request);
    if (!page) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    page->finish = import_finish;
    return admin_page_run(page);
}

/* ---- lines ---- */

static void trim(char *text)
{
    size_t length = strlen(text), begin = strspn(text, " \t\"");
    while (length > begin && strchr(" \t\"\r", text[length - 1]))
        length--;
    memmove(text, text + begin, length - begin);
    text[length - begin] = '\0';
}

/* Customer, hash, start and, with all commas that it has, title. False: too few. */
static bool line_split(char *line, char *words[WORDS])
{
    unsigned count = 0;
    static char none[] = "";
    words[WORDS - 1] = none;
    while (count < WORDS) {
        words[count++] = line;
        char *comma = count < WORDS ? strchr(line, ',') : NULL;
        if (!comma) break;
        *comma = '\0';
        line = comma + 1;
    }
    for (unsigned i = 0; i < count; i++)
        trim(words[i]);
    return count >= WORDS - 1;
}

static const char *field_or_null(const struct import_run *run, const char *name)
{
    const char *text = web_form_text(&run->action->form, name);
    return *text ? text : NULL;
}

/* NULL: no memory. */
static const char *body_make(struct import_run *run, char *const words[WORDS])
{
    bool hmac = strcmp(web_form_text(&run->action->form, "algorithm"), "sha256") != 0;
    json_t *body =
        json_pack("{s:s, s:s, s:s, s:s*, s:s, s:s*, s:s*}", "customer_id", words[0], "hash",
                  words[1], "start", words[2], "title", *words[3] ? words[3] : NULL, "algorithm",
                  web_form_text(&run->action->form, "algorithm"), "hmac_key",
                  hmac ? field_or_null(run, "hmac_key") : NULL, "hmac_key_encoding",
                  hmac ? field_or_null(run, "hmac_key_encoding") : NULL);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    const char *copy = text ? arena_copy(&run->action->request->arena, span_text(text)) : NULL;
    json_decref(body);
    if (text) sodium_memzero(text, strlen(text));
    free(text);
    return copy;
}

static void result_add(struct import_run *run, const char *customer, const json_t *answer,
                       const char *wrong)
{
    const char *id = json_string_value(json_object_get(answer, "id"));
    const char *start = json_string_value(json_object_get(answer, "start"));
    json_t *row =
        json_pack("{s:I, s:s, s:s*, s:s*, s:s*}", "line", run->number, "customer", customer, "key",
                  wrong ? NULL : id, "start", wrong ? NULL : start, "wrong", wrong);
    if (!wrong) run->good++;
    int failed = json_array_append_new(run->results, row);
    (void)failed; /* the page lacks it then */
}

/* ---- one after the other ---- */

static void import_end(struct admin_work *work)
{
    struct import_run *run = CONTAINER_OF(work, struct import_run, work);
    struct http_request *request = run->action->request;
    struct admin_page *page = import_page(request);
    struct web_form form = run->action->form;
    json_t *results = run->results;
    if (!page) {
        struct verdict verdict = web_reply_error(request, ERR_NO_MEMORY, NULL);
        (void)verdict;
        json_decref(results);
        web_form_done(&form);
        return;
    }
    bool all = run->good == (json_int_t)json_array_size(results) && !*run->rest;
    json_t *counts = json_pack("{s:I, s:I}", "good", run->good, "bad",
                               (json_int_t)json_array_size(results) - run->good);
    admin_page_words(counts);
    admin_page_set(page, "counts", counts);
    admin_page_set(page, "all_good", json_boolean(all));
    admin_page_set(page, "rest", json_string(run->rest));
    admin_page_set(page, "results", results);
    admin_page_set(page, "form",
                   json_pack("{s:s, s:s, s:s}", "lines", run->rest, "algorithm",
                             web_form_text(&form, "algorithm"), "hmac_key_encoding",
                             web_form_text(&form, "hmac_key_encoding")));
    algorithms_set(page);
    admin_page_show(page);
    web_form_done(&form);
}

static void line_told(struct admin_work *work)
{
    struct import_run *run = CONTAINER_OF(work, struct import_run, work);
    result_add(run, run->line, work->call.answer, admin_work_wrong(work));
}

/* The next line that has something; what is beyond one form's time is left in it. */
static bool line_next(struct admin_work *work)
{
    struct import_run *run = CONTAINER_OF(work, struct import_run, work);
    char *words[WORDS];
    for (;;) {
        run->rest += strspn(run->rest, "\n");
        if (!*run->rest || admin_work_late(work) || json_array_size(run->results) == LINES_MOST)
            return false;
        size_t length = strcspn(run->rest, "\n");
        const char *line = run->rest;
        run->rest += length;
        run->number++;
        if (strspn(line, " \t\r") >= length) continue;
        if (length >= sizeof run->line) {
            result_add(run, "", NULL, "The line is too long.");
            continue;
        }
        memcpy(run->line, line, length);
        run->line[length] = '\0';
        if (!line_split(run->line, words)) {
            result_add(run, run->line, NULL, "It wants customer, hash and start between commas.");
            continue;
        }
        const char *body = body_make(run, words);
        work->call = (struct inner_call){.method = HTTP_M_POST,
                                         .path = "/v1/keys/import",
                                         .body = span_text(body ? body : "{}")};
        return true;
    }
}

struct verdict handle_admin_import(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = admin_action_new(request, &verdict);
    if (!action) return verdict;
    struct import_run *run = ARENA_NEW(&request->arena, struct import_run);
    if (!run) {
        web_form_done(&action->form);
        return web_reply_error(request, ERR_NO_MEMORY, NULL);
    }
    run->work = (struct admin_work){
        .request = request, .next = line_next, .told = line_told, .end = import_end};
    run->action = action;
    run->rest = web_form_text(&action->form, "lines");
    run->results = json_array();
    admin_work_go(&run->work);
    return http_pending(request);
}
