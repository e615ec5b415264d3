/* Rotating several keys: those of a customer, or whatever fits filters. Called by the routing of
 * the dashboard on the loop thread. What always holds: each key is one call of POST
 * /v1/keys/ID/rotate, checked, done and audited there; its secret goes to the customer, never to a
 * page; and no key is rotated again whose secret, or the mail of whose rotation, is younger than
 * the time that stands in the page's address, so that a part that is asked for again, by whomever,
 * does nothing twice. */
#include "api/admin.h"
#include "api/admin_action.h"
#include "api/admin_key_forms.h"
#include "api/admin_work.h"
#include "api/request.h"
#include "base/clock.h"
#include "service/context.h"

#include <stdlib.h>
#include <string.h>

enum { PART = 25, COUNTED_AT_ONCE = 200, COUNT_MAX = 2000 };

static const char *const names[] = {"rotated", "failed", "left", NULL};
enum { ROTATED, FAILED, LEFT };
static const char *const filters[] = {"q", "tier", "customer_id"};

static const char *const ages[] = {"0",       "Any age",
                                   "86400",   "Older than a day",
                                   "604800",  "Older than a week",
                                   "2592000", "Older than 30 days",
                                   "7776000", "Older than 90 days",
                                   NULL};
static const char *const graces[] = {"0",           "now",    "3600",      "in 1 hour", "86400",
                                     "in 24 hours", "604800", "in 7 days", NULL};

struct rotation {
    struct admin_work work;
    struct admin_action *action; /* NULL: a page alone */
    struct admin_page *page;
    struct admin_progress progress;
    int64_t before; /* secrets made then or later are left as they are */
    char before_text[TIME_TEXT_SIZE];
    const char *grace;
    bool sure;
    json_t *keys; /* those of this part, or of the count; NULL: to be asked for */
    size_t key_at;
    const char *next; /* cursor behind them; NULL: there is none */
    enum { ASKS_KEYS, ASKS_MAILS, ROTATES } step;
    bool stopped;
};

static const char *word_of(const char *const *words, const char *value)
{
    for (; words[0]; words += 2)
        if (strcmp(words[0], value) == 0) return words[0];
    return NULL;
}

static void before_read(struct rotation *rotation)
{
    struct http_request *request = rotation->page->request;
    const char *text = admin_query(request, "before");
    const char *age = word_of(ages, admin_query(request, "age"));
    int64_t now_ms = clock_wall_ms();
    if (!time_parse(span_text(text), &rotation->before) || rotation->before > now_ms)
        rotation->before = now_ms - (age ? strtoll(age, NULL, 10) * 1000 : 0);
    rotation->before -= rotation->before % 1000;
    time_format(rotation->before_text, rotation->before);
}

/* NULL: no memory. */
static struct rotation *rotation_new(struct http_request *request, const struct web_form *form)
{
    struct rotation *rotation = ARENA_NEW(&request->arena, struct rotation);
    struct admin_page *page = admin_page_new(request, "admin_rotate", "Rotate keys", "keys");
    if (!rotation || !page) {
        if (page) json_decref(page->context);
        return NULL;
    }
    *rotation = (struct rotation){
        .page = page,
        .progress = {.prefix = "key", .path = "admin/keys", .names = names},
    };
    const char *grace = form ? web_form_text(form, "grace") : "";
    if (!*grace) grace = admin_query(request, "grace");
    rotation->grace = word_of(graces, grace);
    rotation->sure = form && strcmp(web_form_text(form, "sure"), "yes") == 0;
    rotation->work.request = request;
    page->own = rotation;
    before_read(rotation);
    admin_progress_read(&rotation->progress, request, form);
    return rotation;
}

static void filters_put(struct http_request *request, struct buf *query)
{
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        admin_query_put(query, filters[i], admin_query(request, filters[i]));
}

/* The keys behind the cursor. Only active ones have one secret that works. */
static void keys_ask(struct rotation *rotation, unsigned limit, const char *cursor)
{
    struct http_request *request = rotation->work.request;
    struct buf query = {0};
    buf_printf(&query, "status=active&order=oldest&limit=%u", limit);
    filters_put(request, &query);
    admin_query_put(&query, "cursor", cursor);
    const char *text = admin_text(request, &query);
    rotation->step = ASKS_KEYS;
    rotation->work.call =
        (struct inner_call){.method = HTTP_M_GET, .path = text ? "/v1/keys" : NULL, .query = text};
}

static void keys_take(struct rotation *rotation)
{
    const json_t *answer = rotation->work.call.answer;
    const char *next = json_string_value(json_object_get(answer, "next_cursor"));
    json_decref(rotation->keys);
    rotation->keys = json_incref(json_object_get(answer, "data"));
    rotation->key_at = 0;
    rotation->next = next ? arena_copy(&rotation->work.request->arena, span_text(next)) : NULL;
}

static bool is_young(const struct rotation *rotation, const json_t *thing)
{
    int64_t made = 0;
    const char *text = json_string_value(json_object_get(thing, "created_at"));
    return text && time_parse(span_text(text), &made) && made >= rotation->before;
}

/* It has a secret, and none that is young. */
static bool is_due(const struct rotation *rotation, const json_t *key)
{
    const json_t *secrets = json_object_get(key, "secrets"), *secret;
    size_t index;
    json_array_foreach(secrets, index, secret) if (is_young(rotation, secret)) return false;
    return json_array_size(secrets) != 0;
}

/* ---- showing it ---- */

/* "looked at, 2 failed". */
static const char *words_of(const struct rotation *rotation)
{
    struct arena *arena = &rotation->page->request->arena;
    unsigned long long failed = rotation->progress.counts[FAILED];
    const char *words = failed ? arena_printf(arena, "keys, %llu failed", failed) : NULL;
    return words ? words : "keys";
}

static void choices_set(struct rotation *rotation)
{
    struct admin_page *page = rotation->page;
    struct http_request *request = page->request;
    json_t *filter = json_object();
    bool any = false;
    int failed = 0;
    for (size_t i = 0; i < COUNT_OF(filters); i++) {
        const char *value = admin_query(request, filters[i]);
        any |= *value != '\0';
        failed |= json_object_set_new(filter, filters[i], json_string(value));
    }
    failed |= json_object_set_new(filter, "before", json_string(rotation->before_text));
    (void)failed; /* the page lacks it then */
    admin_page_words(filter);
    admin_page_set(page, "filter", filter);
    admin_page_set(page, "filtered", json_boolean(any));
    admin_page_set(page, "tier_options",
                   admin_tier_options(page, "Any tier", admin_query(request, "tier")));
    admin_page_set(page, "ages", admin_options(ages, admin_query(request, "age")));
    admin_page_set(page, "graces",
                   admin_options(graces, rotation->grace ? rotation->grace : "86400"));
    for (size_t i = 0; rotation->grace && graces[i]; i += 2)
        if (strcmp(graces[i], rotation->grace) == 0)
            admin_page_set(page, "grace_words", json_string(graces[i + 1]));
}

static void rotation_show(struct rotation *rotation)
{
    struct admin_page *page = rotation->page;
    struct buf own CLEANUP(buf_done) = {0};
    bool begun = rotation->progress.cursor[0] || rotation->progress.over;
    json_decref(rotation->keys);
    filters_put(page->request, &own);
    admin_query_put(&own, "before", rotation->before_text);
    if (begun) admin_query_put(&own, "grace", rotation->grace);
    choices_set(rotation);
    admin_page_set(page, "mails", json_boolean(request_service(page->request)->mails));
    admin_page_set(page, "whom", json_string("Key"));
    admin_page_set(page, "sure", json_boolean(rotation->sure));
    admin_page_set(page, "look", json_boolean(rotation->progress.counts[FAILED] > 0));
    admin_progress_show(&rotation->progress, page, words_of(rotation), &own);
    admin_page_show(page);
}

/* ---- how many ---- */

static bool count_next(struct admin_work *work)
{
    struct rotation *rotation = CONTAINER_OF(work, struct rotation, work);
    bool enough = rotation->progress.of >= COUNT_MAX || admin_work_late(work);
    if (rotation->stopped || (rotation->keys && (!rotation->next || enough))) return false;
    keys_ask(rotation, COUNTED_AT_ONCE, rotation->next);
    return true;
}

static void count_told(struct admin_work *work)
{
    struct rotation *rotation = CONTAINER_OF(work, struct rotation, work);
    const json_t *key;
    size_t index;
    admin_work_failed(work, rotation->page);
    rotation->stopped = work->call.status >= 300;
    if (rotation->stopped) return;
    keys_take(rotation);
    json_array_foreach(rotation->keys, index, key) rotation->progress.of += is_due(rotation, key);
}

static void count_end(struct admin_work *work)
{
    struct rotation *rotation = CONTAINER_OF(work, struct rotation, work);
    admin_page_set(rotation->page, "capped", json_boolean(rotation->next != NULL));
    admin_page_set(rotation->page, "nothing", json_boolean(rotation->progress.of == 0));
    rotation_show(rotation);
}

static void page_finish(struct admin_page *page)
{
    struct rotation *rotation = page->own;
    if (rotation->progress.cursor[0]) { /* counted when it began */
        rotation_show(rotation);
        return;
    }
    rotation->progress.of = 0;
    rotation->work = (struct admin_work){
        .request = page->request, .next = count_next, .told = count_told, .end = count_end};
    admin_work_go(&rotation->work);
}

static struct admin_page *rotation_page(struct http_request *request)
{
    struct rotation *rotation = rotation_new(request, NULL);
    if (!rotation) return NULL;
    admin_page_part(rotation->page, "tiers", "/v1/tiers", "limit=200");
    rotation->page->finish = page_finish;
    return rotation->page;
}

struct verdict handle_admin_rotate_page(struct http_request *request)
{
    struct admin_page *page = rotation_page(request);
    return page ? admin_page_run(page) : web_reply_error(request, ERR_NO_MEMORY, NULL);
}

/* ---- a part ---- */

static const char *member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static json_t *key_now(const struct rotation *rotation)
{
    return json_array_get(rotation->keys, rotation->key_at);
}

/* The key is done with: what comes next is behind it. */
static void key_over(struct rotation *rotation)
{
    uint64_t id = 0;
    if (id_parse(span_text(member(key_now(rotation), "id")), "key", &id))
        id_format(rotation->progress.cursor, "cur", id);
    rotation->key_at++;
    rotation->step = ASKS_KEYS;
}

static void key_count(struct rotation *rotation, unsigned count, const char *text)
{
    const json_t *key = key_now(rotation);
    const char *title = member(key, "title");
    rotation->progress.counts[count]++;
    rotation->progress.at++;
    if (text)
        admin_progress_row(&rotation->progress, member(key, "id"), *title ? title : "Untitled",
                           text, count == FAILED);
    key_over(rotation);
}

static void rotate_ask(struct rotation *rotation, const char *id)
{
    struct arena *arena = &rotation->work.request->arena;
    const char *path = arena_printf(arena, "/v1/keys/%s/rotate", id);
    const char *once = arena_printf(arena, "rotate-%s-%s", rotation->before_text, id);
    const char *body =
        arena_printf(arena, "{\"deliver\":\"email\",\"grace_seconds\":%s}", rotation->grace);
    rotation->step = ROTATES;
    rotation->work.call = (struct inner_call){.method = HTTP_M_POST,
                                              .path = once && body ? path : NULL,
                                              .body = span_text(body),
                                              .once = span_text(once),
                                              .whose = admin_of(rotation->work.request)->session};
}

static void mails_ask(struct rotation *rotation, const char *id)
{
    const char *query = arena_printf(&rotation->work.request->arena, "key_id=%s&limit=20", id);
    rotation->step = ASKS_MAILS;
    rotation->work.call = (struct inner_call){
        .method = HTTP_M_GET, .path = query ? "/v1/notifications" : NULL, .query = query};
}

static bool part_next(struct admin_work *work)
{
    struct rotation *rotation = CONTAINER_OF(work, struct rotation, work);
    if (rotation->stopped) return false;
    if (!rotation->keys) {
        keys_ask(rotation, PART, rotation->progress.cursor);
        return true;
    }
    while (key_now(rotation) && !is_due(rotation, key_now(rotation)))
        key_over(rotation);
    if (!key_now(rotation)) {
        admin_progress_go_on(&rotation->progress, rotation->next);
        return false;
    }
    if (rotation->step == ASKS_KEYS && rotation->key_at && admin_work_late(work)) return false;
    const char *id = member(key_now(rotation), "id");
    if (rotation->step == ASKS_MAILS)
        rotate_ask(rotation, id);
    else
        mails_ask(rotation, id);
    return true;
}

/* A link that was sent since then waits for the customer: the secret is made when it is used. */
static bool was_mailed(const struct rotation *rotation, const json_t *mails)
{
    const json_t *mail;
    size_t index;
    json_array_foreach(mails, index, mail) if (strcmp(member(mail, "kind"), "rotated") == 0 &&
                                               is_young(rotation, mail)) return true;
    return false;
}

static void part_told(struct admin_work *work)
{
    struct rotation *rotation = CONTAINER_OF(work, struct rotation, work);
    int status = work->call.status;
    const char *wrong = admin_work_wrong(work);
    bool about_key = rotation->step == ROTATES && status >= 400 && status < 500 && status != 401 &&
                     status != 403 && status != 429;
    if (wrong && !about_key) { /* not this key's fault: it is the next one again */
        admin_work_failed(work, rotation->page);
        rotation->stopped = true;
    } else if (rotation->step == ASKS_KEYS) {
        keys_take(rotation);
    } else if (rotation->step == ASKS_MAILS) {
        if (was_mailed(rotation, json_object_get(work->call.answer, "data")))
            key_count(rotation, LEFT, NULL);
    } else {
        key_count(rotation, wrong ? FAILED : ROTATED, wrong);
    }
}

static void part_end(struct admin_work *work)
{
    struct rotation *rotation = CONTAINER_OF(work, struct rotation, work);
    struct web_form form = rotation->action->form; /* the action dies with the answer */
    rotation_show(rotation);
    web_form_done(&form);
}

struct verdict handle_admin_rotate(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = admin_action_new(request, &verdict);
    if (!action) return verdict;
    struct rotation *rotation = rotation_new(request, &action->form);
    if (!rotation) {
        web_form_done(&action->form);
        return web_reply_error(request, ERR_NO_MEMORY, NULL);
    }
    if (!rotation->sure || !rotation->grace || !*admin_query(request, "before")) {
        json_decref(rotation->page->context);
        json_decref(rotation->progress.rows);
        action->page = rotation_page;
        return admin_action_wrong(action, "sure", "has to be ticked");
    }
    rotation->action = action;
    rotation->work = (struct admin_work){
        .request = request, .next = part_next, .told = part_told, .end = part_end};
    admin_work_go(&rotation->work);
    return http_pending(request);
}
