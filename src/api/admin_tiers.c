/* Tiers: the list, and a form for each. Called by the routing of the dashboard on the loop thread.
 * What always holds: what is saved is what was shown, with the fields of the form put over it; the
 * form says how many keys and customers a change reaches. */
#include "api/admin.h"
#include "api/admin_key_forms.h"
#include "api/request.h"
#include "core/rate_limit.h"
#include "core/tier.h"
#include "io/db_pool.h"
#include "service/context.h"
#include "store/overview.h"

#include <string.h>

struct verdict handle_admin_tiers(struct http_request *request)
{
    struct admin_page *page = admin_page_new(request, "admin_tiers", "Tiers", "tiers");
    if (!page) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    admin_page_part(page, "tiers", "/v1/tiers", "limit=200");
    return admin_page_run(page);
}

/* The slug in the path, or one that no tier has. */
static const char *slug_of(struct http_request *request)
{
    struct span text = path_text(request, 0);
    return tier_slug_valid(text) ? arena_copy(&request->arena, text) : "-";
}

/* ---- the form ---- */

struct reach {
    struct db_job job;
    struct admin_page *page;
    const char *slug;
    uint64_t customers;
};

static enum err reach_run(struct db *db, struct db_job *job)
{
    struct reach *reach = CONTAINER_OF(job, struct reach, job);
    return overview_tier(db, reach->slug, &reach->customers);
}

static void reach_done(struct db_job *job, enum err error)
{
    struct reach *reach = CONTAINER_OF(job, struct reach, job);
    struct admin_page *page = reach->page;
    bool many = reach->customers > OVERVIEW_MANY;
    json_t *counts = json_pack("{s:I, s:b}", "customers",
                               (json_int_t)(many ? OVERVIEW_MANY : reach->customers), "many", many);
    admin_page_words(counts);
    if (error)
        json_decref(counts);
    else
        admin_page_set(page, "reach", counts);
    admin_page_show(page);
}

static json_t *words_of(const json_t *list)
{
    struct buf text CLEANUP(buf_done) = {0};
    size_t index;
    json_t *element;
    json_array_foreach(list, index, element)
        buf_printf(&text, "%s%s", index ? ", " : "", json_string_value(element));
    return text.failed || !text.data ? json_string("") : json_stringn(text.data, text.length);
}

static void choice_set(struct admin_page *page, const char *name, const char *const *words,
                       const json_t *form)
{
    const char *value = json_string_value(json_object_get(form, name));
    char list[40];
    snprintf(list, sizeof list, "%s_options", name);
    admin_page_set(page, list, admin_options(words, value));
}

/* admin_page.own of the form for a tier that is not there yet. */
static const char made_new;

/* What makes a tier another one than that it is like. */
static void new_finish(struct admin_page *page, const json_t *sent)
{
    json_t *form = json_object_get(page->context, "form");
    admin_page_set(page, "is_new", json_true());
    if (!sent) {
        int gone = json_object_del(form, "slug") | json_object_del(form, "name") |
                   json_object_del(form, "price_references");
        (void)gone;
    }
    admin_page_show(page);
}

static void tier_finish(struct admin_page *page)
{
    static const char *const overages[] = {"block", "refused", "allow", "allowed, and counted",
                                           NULL};
    static const char *const unclaimed[] = {"keep", "goes on, with an alert", "retire",
                                            "is retired", NULL};
    static const char *const lapses[] = {"suspend", "are suspended", "free", "go to the free tier",
                                         NULL};
    static const char *const acks[] = {"commit", "once it is durable", "memory", "from memory",
                                       NULL};
    struct http_request *request = page->request;
    json_t *tier = json_object_get(page->context, "tier");
    json_t *sent =
        json_object_get(page->context, "sent") ? json_object_get(page->context, "form") : NULL;
    if (!sent) {
        json_t *form = json_copy(tier);
        int failed = json_object_set_new(form, "permissions",
                                         words_of(json_object_get(tier, "permissions"))) |
                     json_object_set_new(form, "price_references",
                                         words_of(json_object_get(tier, "price_references")));
        (void)failed;
        admin_page_set(page, "form", form);
    }
    const json_t *form = json_object_get(page->context, "form");
    admin_page_set(page, "limit_rows", admin_limit_rows(tier, sent));
    choice_set(page, "overage", overages, form);
    choice_set(page, "on_unclaimed", unclaimed, form);
    choice_set(page, "on_lapse", lapses, form);
    choice_set(page, "ack", acks, form);
    if (page->own == &made_new) {
        new_finish(page, sent);
        return;
    }
    const char *name = json_string_value(json_object_get(tier, "name"));
    const char *title = name ? arena_copy(&request->arena, span_text(name)) : NULL;
    page->web.title = title ? title : "Tier";
    struct reach *reach = ARENA_NEW(&request->arena, struct reach);
    enum err error = ERR_NO_MEMORY;
    if (reach) {
        *reach = (struct reach){
            .job = {.run = reach_run, .done = reach_done}, .page = page, .slug = slug_of(request)};
        error = db_submit(request_service(request)->readers, &reach->job);
    }
    if (error) admin_page_show(page);
}

static struct admin_page *tier_page(struct http_request *request)
{
    struct admin_page *page = admin_page_new(request, "admin_tier", "Tier", "tiers");
    if (!page) return NULL;
    admin_page_part(page, "tier", arena_printf(&request->arena, "/v1/tiers/%s", slug_of(request)),
                    NULL);
    page->finish = tier_finish;
    return page;
}

struct verdict handle_admin_tier(struct http_request *request)
{
    struct admin_page *page = tier_page(request);
    return page ? admin_page_run(page) : web_reply_error(request, ERR_NO_MEMORY, NULL);
}

/* By that of `like`, or the free one: most of a new tier is as in others. */
static struct admin_page *new_page(struct http_request *request)
{
    struct span like = span_text(admin_query(request, "like"));
    struct admin_page *page = admin_page_new(request, "admin_tier", "New tier", "tiers");
    if (!page) return NULL;
    if (!tier_slug_valid(like)) like = SPAN("free");
    admin_page_part(page, "tier",
                    arena_printf(&request->arena, "/v1/tiers/%.*s", (int)like.length, like.data),
                    NULL);
    page->own = (void *)(uintptr_t)&made_new;
    page->finish = tier_finish;
    return page;
}

struct verdict handle_admin_tier_new(struct http_request *request)
{
    struct admin_page *page = new_page(request);
    return page ? admin_page_run(page) : web_reply_error(request, ERR_NO_MEMORY, NULL);
}

/* ---- saving ---- */

static json_t *tier_body(struct admin_action *action)
{
    static const char *const texts[] = {"name",         "overage",  "label",
                                        "on_unclaimed", "on_lapse", "ack"};
    static const char *const numbers[] = {"monthly_quota",   "max_keys",      "rotation_days",
                                          "notice_days",     "grace_seconds", "hard_stop_days",
                                          "max_overlap_days"};
    static const char *const lists[] = {"permissions", "price_references"};
    json_t *body = json_object();
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        admin_body_set(&body, texts[i], json_string(web_form_text(&action->form, texts[i])));
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        admin_body_set(&body, numbers[i], admin_field_number(action, numbers[i]));
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        admin_body_set(&body, lists[i], admin_field_list(action, lists[i]));
    admin_body_set(&body, "rate_limits", admin_limits_read(action));
    admin_body_set(&body, "requires_payment",
                   json_boolean(web_form_box(&action->form, "requires_payment")));
    return body;
}

struct verdict handle_admin_tier_save(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = admin_action_new(request, &verdict);
    if (!action) return verdict;
    const char *slug = slug_of(request);
    action->page = tier_page;
    action->to = arena_printf(&request->arena, "admin/tiers/%s?done=saved", slug);
    return admin_action_call(
        action, HTTP_M_PUT, arena_printf(&request->arena, "/v1/tiers/%s", slug), tier_body(action));
}

struct verdict handle_admin_tier_create(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = admin_action_new(request, &verdict);
    if (!action) return verdict;
    const char *slug = web_form_text(&action->form, "slug");
    action->page = new_page;
    action->creates = true;
    if (!tier_slug_valid(span_text(slug)))
        return admin_action_wrong(action, "slug",
                                  "must be 1 to 40 of a-z, 0-9, - and _, and begin with a letter "
                                  "or digit");
    action->to = arena_printf(&request->arena, "admin/tiers/%s?done=made", slug);
    return admin_action_call(
        action, HTTP_M_PUT, arena_printf(&request->arena, "/v1/tiers/%s", slug), tier_body(action));
}
