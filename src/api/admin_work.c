/* Long work of the dashboard, in parts. Called by its pages on the loop thread. What always holds:
 * a part ends in time for its answer and tells where the next one begins; what the address or the
 * form says of parts before is shown to who sent it, and decides nothing. */
#include "api/admin_work.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TURN_US = 3500000, ROWS_MOST = 100, ROW_TEXT = 200, ROW_WORDS = 4 };

/* ---- calls in turn ---- */

bool admin_work_late(const struct admin_work *work)
{
    return clock_mono_us() - work->begun_us > TURN_US;
}

static void turn(struct admin_work *work);

static void call_done(struct inner_call *call)
{
    struct admin_work *work = CONTAINER_OF(call, struct admin_work, call);
    work->told(work);
    inner_call_done(call);
    work->answered = true;
    if (!work->starting) turn(work);
}

static void turn(struct admin_work *work)
{
    for (;;) {
        work->call = (struct inner_call){0};
        if (!work->next(work)) {
            work->end(work);
            return;
        }
        if (!work->call.path) {
            work->call.status = 503;
            work->told(work);
            continue;
        }
        work->call.done = call_done;
        work->starting = true;
        work->answered = false;
        inner_call_start(&work->call, work->request);
        work->starting = false;
        if (!work->answered) return; /* call_done goes on */
    }
}

void admin_work_go(struct admin_work *work)
{
    work->begun_us = clock_mono_us();
    turn(work);
}

const char *admin_work_wrong(const struct admin_work *work)
{
    const struct inner_call *call = &work->call;
    if (call->status < 300) return NULL;
    const json_t *error = json_array_get(json_object_get(call->answer, "errors"), 0);
    const char *location = json_string_value(json_object_get(error, "location"));
    const char *message = json_string_value(json_object_get(error, "message"));
    const char *text = json_string_value(json_object_get(call->answer, "detail"));
    const char *dot = location ? strchr(location, '.') : NULL;
    struct arena *arena = &work->request->arena;
    if (error)
        text = arena_printf(arena, "%s %s", dot ? dot + 1 : "it", message ? message : "is wrong");
    else if (text)
        text = arena_copy(arena, span_text(text));
    return text ? text : "It was not done; try again.";
}

void admin_work_failed(const struct admin_work *work, struct admin_page *page)
{
    const char *wrong = admin_work_wrong(work);
    if (!wrong) return;
    page->web.status = work->call.status;
    admin_page_set(page, "error", json_string(wrong));
}

/* ---- how far it is ---- */

static uint64_t number_of(struct http_request *request, const char *name)
{
    uint64_t value = 0;
    bool good = u64_parse(span_text(admin_query(request, name)), INT64_MAX / 2, &value);
    return good ? value : 0;
}

void admin_progress_row(struct admin_progress *progress, const char *id, const char *name,
                        const char *text, bool wrong)
{
    progress->told++;
    if (!progress->rows) progress->rows = json_array();
    if (json_array_size(progress->rows) >= ROWS_MOST) return;
    int failed =
        json_array_append_new(progress->rows, json_pack("[s, s, s, b]", id, name, text, wrong));
    (void)failed; /* the page lacks it then */
}

/* Those that the form brings of the parts before. */
static void kept_read(struct admin_progress *progress, const struct web_form *form)
{
    json_t *list = json_loads(web_form_text(form, "kept"), 0, NULL), *row;
    size_t index;
    json_array_foreach(list, index, row)
    {
        const char *words[ROW_WORDS - 1];
        bool good = json_array_size(row) == ROW_WORDS;
        uint64_t id;
        for (size_t i = 0; good && i < ROW_WORDS - 1; i++) {
            words[i] = json_string_value(json_array_get(row, i));
            good = words[i] && strlen(words[i]) <= 2 * ROW_TEXT;
        }
        if (good && id_parse(span_text(words[0]), progress->prefix, &id))
            admin_progress_row(progress, words[0], words[1], words[2],
                               json_is_true(json_array_get(row, ROW_WORDS - 1)));
    }
    json_decref(list);
}

void admin_progress_read(struct admin_progress *progress, struct http_request *request,
                         const struct web_form *form)
{
    uint64_t id;
    const char *cursor = admin_query(request, "cursor");
    progress->at = number_of(request, "at");
    progress->of = number_of(request, "of");
    for (size_t i = 0; progress->names[i]; i++)
        progress->counts[i] = number_of(request, progress->names[i]);
    if (id_parse(span_text(cursor), "cur", &id))
        snprintf(progress->cursor, sizeof progress->cursor, "%s", cursor);
    if (form) kept_read(progress, form);
    uint64_t told = number_of(request, "told");
    if (told > progress->told) progress->told = told;
}

void admin_progress_go_on(struct admin_progress *progress, const char *cursor)
{
    progress->over = !cursor;
    snprintf(progress->cursor, sizeof progress->cursor, "%s", cursor ? cursor : "");
}

/* What comes behind "?": where a press of the button goes on. */
static void address_put(const struct admin_progress *progress, struct buf *query)
{
    const char *numbers[] = {"at", "of", "told"};
    const uint64_t values[] = {progress->at, progress->of, progress->told};
    char text[24];
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)values[i]);
        admin_query_put(query, numbers[i], text);
    }
    for (size_t i = 0; progress->names[i]; i++) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)progress->counts[i]);
        admin_query_put(query, progress->names[i], text);
    }
    admin_query_put(query, "cursor", progress->cursor);
}

static json_t *rows_show(const struct admin_progress *progress)
{
    json_t *list = json_array(), *row;
    size_t index;
    json_array_foreach(progress->rows, index, row)
    {
        json_t *shown = json_pack("{s:O, s:O, s:O, s:O, s:s}", "id", json_array_get(row, 0), "name",
                                  json_array_get(row, 1), "text", json_array_get(row, 2), "wrong",
                                  json_array_get(row, 3), "path", progress->path);
        if (json_array_append_new(list, shown)) break;
    }
    return list;
}

static json_t *work_show(const struct admin_progress *progress)
{
    uint64_t shown = json_array_size(progress->rows);
    bool begun = progress->cursor[0] || progress->over;
    json_t *work =
        json_pack("{s:I, s:I, s:I, s:b, s:b, s:b}", "at", (json_int_t)progress->at, "of",
                  (json_int_t)progress->of, "untold", (json_int_t)(progress->told - shown), "begun",
                  begun, "over", progress->over, "goes_on", progress->cursor[0] != '\0');
    int failed = 0;
    for (size_t i = 0; progress->names[i]; i++)
        failed |= json_object_set_new(work, progress->names[i],
                                      json_integer((json_int_t)progress->counts[i]));
    admin_page_words(work);
    for (size_t i = 0; progress->names[i]; i++) /* for a template 0 is as true as 1 */
        if (!progress->counts[i]) failed |= json_object_del(work, progress->names[i]);
    if (progress->told == shown) failed |= json_object_del(work, "untold");
    (void)failed; /* the page lacks it then */
    return work;
}

void admin_progress_show(struct admin_progress *progress, struct admin_page *page,
                         const char *words, struct buf *own)
{
    struct buf query CLEANUP(buf_done) = {0};
    if (progress->of < progress->at || progress->over) progress->of = progress->at;
    json_t *work = work_show(progress);
    const char *at = json_string_value(json_object_get(work, "at_text"));
    const char *of = json_string_value(json_object_get(work, "of_text"));
    struct arena *arena = &page->request->arena;
    const char *told = progress->over ? arena_printf(arena, "Done: %s %s.", at ? at : "", words)
                                      : arena_printf(arena, "%s of about %s %s.", at ? at : "",
                                                     of ? of : "", words);
    if (own && own->length) buf_add_span(&query, buf_span(own));
    address_put(progress, &query);
    int failed = json_object_set_new(work, "words", json_string(told ? told : ""));
    failed |= json_object_set_new(work, "address", json_stringn(query.data, query.length));
    failed |= json_object_set_new(work, "most",
                                  json_integer(progress->of ? (json_int_t)progress->of : 1));
    (void)failed; /* the page lacks it then */
    char *kept = json_dumps(progress->rows, JSON_COMPACT);
    admin_page_set(page, "work", work);
    admin_page_set(page, "rows", rows_show(progress));
    admin_page_set(page, "kept", json_string(kept ? kept : "[]"));
    free(kept);
    json_decref(progress->rows);
    progress->rows = NULL;
}
