/* Pages of the dashboard. Called by its handlers on the loop thread. What always holds: what a page
 * shows was read by the calls of the API for this very admin, and every page tells its template who
 * looks at it and what that role may do. */
#include "api/admin_page.h"

#include "api/problem.h"
#include "api/request.h"
#include "core/chart.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *section, *path, *name;
    enum admin_right right;
} menu[] = {
    {"overview", "admin", "Overview", RIGHT_READ},
    {"keys", "admin/keys", "Keys", RIGHT_READ},
    {"customers", "admin/customers", "Customers", RIGHT_READ},
    {"tiers", "admin/tiers", "Tiers", RIGHT_READ},
    {"rotations", "admin/rotations", "Rotations", RIGHT_READ},
    {"notifications", "admin/notifications", "Notifications", RIGHT_READ},
    {"alerts", "admin/alerts", "Alerts", RIGHT_READ},
    {"audit", "admin/audit", "Audit log", RIGHT_READ},
    {"tokens", "admin/tokens", "Service tokens", RIGHT_MANAGE},
    {"admins", "admin/admins", "Admins", RIGHT_APPOINT},
    {"settings", "admin/settings", "Settings", RIGHT_READ},
};

/* What a page says when something was done: `?done=` names one of these. */
static const struct {
    const char *word, *text;
} done_texts[] = {
    {"saved", "Saved."},
    {"made", "It is there now."},
    {"erased", "The customer is erased: the keys are revoked, and nothing personal is left."},
    {"rotated", "The next secret is on its way to the customer."},
    {"regenerated", "The old secret is dead; a new one is on its way to the customer."},
    {"ended", "The old secret is dead."},
    {"postponed", "The rotation is postponed."},
    {"resent", "A new link is on its way to the customer."},
    {"disabled", "The key is disabled: every call with it is refused."},
    {"enabled", "The key works again."},
    {"revoked", "The key is revoked, for good."},
    {"approved", "The payment is approved."},
    {"retried", "The mail is queued again."},
    {"acknowledged", "The alert is acknowledged."},
    {"token-revoked", "The token is revoked."},
    {"role", "The role is changed."},
    {"admin-disabled", "Signed out everywhere; the account is disabled."},
    {"admin-enabled", "The account may sign in again."},
    {"withdrawn", "The link is withdrawn."},
    {"password", "The password is changed; other sessions are signed out."},
    {"code-on", "The second factor is on: it is asked for at the next sign-in."},
    {"code-off", "The second factor is off."},
    {"signed-out", "Signed out there."},
};

/* ---- texts for people ---- */

/* "2026-11-28T05:03:09Z" as "28 Nov 2026, 05:03". */
static bool time_words(const char *text, char out[40])
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    unsigned year, month, day, hour, minute;
    if (strlen(text) != 20 || text[19] != 'Z' ||
        sscanf(text, "%4u-%2u-%2uT%2u:%2u", &year, &month, &day, &hour, &minute) != 5 ||
        month < 1 || month > 12)
        return false;
    snprintf(out, 40, "%u %.3s %u, %02u:%02u", day, months + (size_t)3 * (month - 1), year, hour,
             minute);
    return true;
}

static json_t *value_words(const json_t *value)
{
    char text[40];
    if (json_is_string(value) && time_words(json_string_value(value), text))
        return json_string(text);
    if (!json_is_integer(value) || json_integer_value(value) < 0) return NULL;
    chart_number(text, (uint64_t)json_integer_value(value));
    return json_string(text);
}

/* The stylesheet's class of a state. */
static const char *state_class(const char *state)
{
    static const char *const classes[][2] = {
        {"active", "good"},   {"sent", "good"},      {"rotating", "warn"}, {"retry", "warn"},
        {"past_due", "warn"}, {"postponed", "warn"}, {"suspended", "bad"}, {"revoked", "bad"},
        {"dead", "bad"},      {"open", "bad"},       {"trialing", "good"}, {"downgraded", "warn"},
        {"notified", "warn"},
    };
    for (size_t i = 0; i < COUNT_OF(classes); i++)
        if (strcmp(state, classes[i][0]) == 0) return classes[i][1];
    return "";
}

static void class_add(json_t *object, const char *name)
{
    char key[32];
    const char *state = json_string_value(json_object_get(object, name));
    snprintf(key, sizeof key, "%s_class", name);
    if (!state) return;
    int failed = json_object_set_new(object, key, json_string(state_class(state)));
    (void)failed; /* it has no colour then */
}

static void object_words(json_t *object)
{
    char names[64][72];
    json_t *words[64];
    unsigned count = 0;
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        admin_page_words(value);
        if (count == COUNT_OF(words) || strlen(name) > 60) continue;
        words[count] = value_words(value);
        if (words[count]) snprintf(names[count++], sizeof names[0], "%s_text", name);
    }
    for (unsigned i = 0; i < count; i++) {
        int failed = json_object_set_new(object, names[i], words[i]);
        (void)failed; /* the page lacks a text then */
    }
    class_add(object, "status");
    class_add(object, "state");
    const char *state = json_string_value(json_object_get(object, "state"));
    if (state && (strcmp(state, "dead") == 0 || strcmp(state, "retry") == 0)) {
        int failed = json_object_set_new(object, "retriable", json_true());
        (void)failed; /* it has no button then */
    }
}

void admin_page_words(json_t *value)
{
    size_t index;
    json_t *element;
    if (json_is_object(value)) object_words(value);
    json_array_foreach(value, index, element) admin_page_words(element);
}

/* ---- the parts ---- */

struct admin_page *admin_page_new(struct http_request *request, const char *name, const char *title,
                                  const char *section)
{
    struct admin_page *page = ARENA_NEW(&request->arena, struct admin_page);
    if (!page) return NULL;
    page->request = request;
    page->web = (struct web_page){.status = 200, .name = name, .title = title, .forms = true};
    page->section = section;
    page->context = json_object();
    return page->context ? page : NULL;
}

void admin_page_part(struct admin_page *page, const char *name, const char *path, const char *query)
{
    if (page && page->part_count < ADMIN_PARTS_MAX)
        page->parts[page->part_count++] = (struct admin_part){name, path, query};
}

void admin_page_set(struct admin_page *page, const char *name, json_t *value)
{
    int failed = json_object_set_new(page->context, name, value);
    (void)failed; /* the page lacks it then */
}

void admin_page_fail(struct admin_page *page, enum err error, struct problem *problem)
{
    json_decref(page->context);
    page->context = NULL;
    struct verdict verdict = web_reply_error(page->request, error, problem);
    (void)verdict;
}

static void next_part(struct admin_page *page);

static void part_failed(struct admin_page *page)
{
    struct problem problem = {0};
    const char *detail = json_string_value(json_object_get(page->call.answer, "detail"));
    enum err denied = problem_set(&problem, page->call.status, "failed", "%s",
                                  detail ? detail : "The page cannot be shown; try again.");
    inner_call_done(&page->call);
    admin_page_fail(page, denied, &problem);
}

static void part_done(struct inner_call *call)
{
    struct admin_page *page = CONTAINER_OF(call, struct admin_page, call);
    if (call->status >= 300) {
        part_failed(page);
        return;
    }
    admin_page_words(call->answer);
    if (call->version && !json_object_get(page->context, "version"))
        admin_page_set(page, "version", json_integer(call->version));
    admin_page_set(page, page->parts[page->part_at].name, json_incref(call->answer));
    json_decref(call->answer);
    call->answer = NULL;
    page->part_at++;
    next_part(page);
}

static void next_part(struct admin_page *page)
{
    if (page->part_at == page->part_count) {
        if (page->finish)
            page->finish(page);
        else
            admin_page_show(page);
        return;
    }
    const struct admin_part *part = &page->parts[page->part_at];
    if (!part->path) {
        admin_page_fail(page, ERR_NO_MEMORY, NULL);
        return;
    }
    page->call = (struct inner_call){
        .method = HTTP_M_GET, .path = part->path, .query = part->query, .done = part_done};
    inner_call_start(&page->call, page->request);
}

struct verdict admin_page_run(struct admin_page *page)
{
    struct http_request *request = page->request;
    next_part(page);
    return http_pending(request);
}

/* ---- showing ---- */

static json_t *menu_make(const struct http_request *request, const char *section)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < COUNT_OF(menu); i++) {
        bool here = section && strcmp(section, menu[i].section) == 0;
        if (!admin_may(request, menu[i].right)) continue;
        if (json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b}", "path", menu[i].path,
                                                  "name", menu[i].name, "section", menu[i].section,
                                                  "current", here)))
            break;
    }
    return list;
}

static void say_done(struct admin_page *page)
{
    const char *word = admin_query(page->request, "done");
    for (size_t i = 0; i < COUNT_OF(done_texts); i++)
        if (strcmp(word, done_texts[i].word) == 0)
            admin_page_set(page, "done", json_string(done_texts[i].text));
}

/* For forms that make something: sent twice, they make it once. */
static json_t *once_make(void)
{
    unsigned char random[16];
    char text[2 * sizeof random + 1];
    randombytes_buf(random, sizeof random);
    hex_encode(text, random, sizeof random);
    return json_string(text);
}

void admin_page_show(struct admin_page *page)
{
    struct http_request *request = page->request;
    const struct admin *admin = admin_of(request);
    if (admin) {
        admin_page_set(page, "me",
                       json_pack("{s:s, s:s, s:s, s:s, s:b}", "id", admin->actor, "name",
                                 admin->name, "email", admin->email, "role",
                                 admin_role_name(admin->role), "has_code", admin->has_code));
        admin_page_set(page, "csrf", json_string(admin->csrf));
        admin_page_set(page, "once", once_make());
        admin_page_set(page, "menu", menu_make(request, page->section));
        admin_page_set(page, "here", json_pack("{s:b}", page->section ? page->section : "x", true));
        admin_page_set(page, "may_help", json_boolean(admin_may(request, RIGHT_HELP)));
        admin_page_set(page, "may_manage", json_boolean(admin_may(request, RIGHT_MANAGE)));
        admin_page_set(page, "may_appoint", json_boolean(admin_may(request, RIGHT_APPOINT)));
    }
    say_done(page);
    page->web.context = page->context;
    page->context = NULL;
    struct verdict verdict = web_reply(request, &page->web);
    (void)verdict;
}

/* ---- small things ---- */

const char *admin_query(struct http_request *request, const char *name)
{
    struct span value = {0};
    if (http_query(request, name, &value) != ERR_OK || !value.data) return "";
    const char *text = arena_copy(&request->arena, value);
    return text ? text : "";
}

void admin_query_put(struct buf *query, const char *name, const char *value)
{
    if (!value || !*value) return;
    buf_printf(query, "%s%s=", query->length ? "&" : "", name);
    for (const char *at = value; *at; at++) {
        bool plain = (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') ||
                     (*at >= 'A' && *at <= 'Z') || strchr("-._~", *at);
        if (plain)
            buf_add_char(query, *at);
        else
            buf_printf(query, "%%%02X", (unsigned)(unsigned char)*at);
    }
}

const char *admin_text(struct http_request *request, struct buf *text)
{
    const char *copy = text->failed ? NULL : arena_copy(&request->arena, buf_span(text));
    buf_done(text);
    return copy;
}

json_t *admin_options(const char *const *words, const char *selected)
{
    json_t *list = json_array();
    for (; list && words[0]; words += 2)
        if (json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "value", words[0], "name",
                                                  words[1], "selected",
                                                  selected && strcmp(words[0], selected) == 0)))
            break;
    return list;
}
