/* Reading paid customers at their provider again, all of them, now. Called by the routing of the
 * dashboard on the loop thread. What always holds: a part is one call of POST
 * /v1/payments/reconcile, which heals in the same way as the daemon does by itself; a part that is
 * done twice changes nothing the second time. */
#include "api/admin.h"
#include "api/admin_action.h"
#include "api/admin_work.h"
#include "api/request.h"
#include "conf/settings.h"
#include "io/db_pool.h"
#include "service/context.h"
#include "service/payment.h"
#include "store/payment_read.h"

#include <string.h>

enum { COUNT_MAX = 10000, WAIT_MS = 35000 };

static const char *const names[] = {"changed", "unread", NULL};

struct reconcile {
    struct admin_work work;
    struct admin_action *action;
    struct admin_page *page;
    struct admin_progress progress;
    bool heals, asked;
    struct db_job job;
    uint64_t count;
};

/* NULL: no memory. `form`: NULL outside of an answer to one. */
static struct reconcile *reconcile_new(struct http_request *request, const struct web_form *form)
{
    struct reconcile *reconcile = ARENA_NEW(&request->arena, struct reconcile);
    struct admin_page *page =
        admin_page_new(request, "admin_reconcile", "Reconcile payments", "customers");
    if (!reconcile || !page) {
        if (page) json_decref(page->context);
        return NULL;
    }
    const char *chosen = form ? web_form_text(form, "heal") : "";
    if (!*chosen) chosen = admin_query(request, "heal");
    *reconcile = (struct reconcile){
        .page = page,
        .progress = {.prefix = "cus", .path = "admin/customers", .names = names},
        .heals = strcmp(chosen, "yes") == 0,
    };
    page->own = reconcile;
    admin_progress_read(&reconcile->progress, request, form);
    return reconcile;
}

/* "read, 2 differ, 1 could not be read". */
static const char *words_of(const struct reconcile *reconcile)
{
    struct arena *arena = &reconcile->page->request->arena;
    const struct admin_progress *progress = &reconcile->progress;
    const char *differ = reconcile->heals           ? "healed"
                         : progress->counts[0] == 1 ? "differs"
                                                    : "differ";
    const char *changed =
        progress->counts[0]
            ? arena_printf(arena, ", %llu %s", (unsigned long long)progress->counts[0], differ)
            : ", none differs";
    const char *unread = "";
    if (progress->counts[1])
        unread = arena_printf(arena, ", %llu could not be read",
                              (unsigned long long)progress->counts[1]);
    const char *words =
        arena_printf(arena, "read%s%s", changed ? changed : "", unread ? unread : "");
    return words ? words : "read";
}

static void reconcile_show(struct reconcile *reconcile)
{
    struct admin_page *page = reconcile->page;
    const struct service *service = request_service(page->request);
    struct buf own CLEANUP(buf_done) = {0};
    static const char *const asked[] = {[PAYMENT_PROVIDER_NONE] = "",
                                        [PAYMENT_PROVIDER_HTTP] = "your billing system",
                                        [PAYMENT_PROVIDER_STRIPE] = "Stripe"};
    /* How it began is chosen by the form there, later on by the address. */
    bool chosen = reconcile->progress.cursor[0] || reconcile->progress.over;
    if (chosen) admin_query_put(&own, "heal", reconcile->heals ? "yes" : "no");
    admin_page_set(page, "provider", json_string(asked[service->settings->payment.provider]));
    admin_page_set(page, "whom", json_string("Customer"));
    admin_page_set(page, "rate", json_integer(service->settings->payment.reads_per_second));
    admin_page_set(page, "heals", json_boolean(reconcile->heals));
    bool to_heal = !reconcile->heals && reconcile->progress.counts[0] > 0;
    admin_page_set(page, "to_heal", json_boolean(to_heal));
    admin_page_set(page, "look", json_boolean(to_heal || reconcile->progress.counts[1] > 0));
    admin_progress_show(&reconcile->progress, page, words_of(reconcile), &own);
    admin_page_show(page);
}

/* ---- the page ---- */

static enum err count_run(struct db *db, struct db_job *job)
{
    struct reconcile *reconcile = CONTAINER_OF(job, struct reconcile, job);
    const struct service *service = request_service(reconcile->page->request);
    return payment_read_count(db, payment_provider_name(service), COUNT_MAX, &reconcile->count);
}

static void count_done(struct db_job *job, enum err error)
{
    struct reconcile *reconcile = CONTAINER_OF(job, struct reconcile, job);
    if (error) {
        json_decref(reconcile->progress.rows);
        admin_page_fail(reconcile->page, error, NULL);
        return;
    }
    admin_page_set(reconcile->page, "capped", json_boolean(reconcile->count == COUNT_MAX));
    reconcile->progress.of = reconcile->count;
    reconcile_show(reconcile);
}

static void reconcile_finish(struct admin_page *page)
{
    struct reconcile *reconcile = page->own;
    if (reconcile->progress.cursor[0]) { /* counted when it began */
        reconcile_show(reconcile);
        return;
    }
    reconcile->job = (struct db_job){.run = count_run, .done = count_done};
    enum err error = db_submit(request_service(page->request)->readers, &reconcile->job);
    if (error) count_done(&reconcile->job, error);
}

static struct admin_page *reconcile_page(struct http_request *request)
{
    struct reconcile *reconcile = reconcile_new(request, NULL);
    if (!reconcile) return NULL;
    reconcile->page->finish = reconcile_finish;
    return reconcile->page;
}

struct verdict handle_admin_reconcile_page(struct http_request *request)
{
    struct admin_page *page = reconcile_page(request);
    return page ? admin_page_run(page) : web_reply_error(request, ERR_NO_MEMORY, NULL);
}

/* ---- a part ---- */

static const char *member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "?";
}

/* "pro, active": what it has, and in brackets what the provider says of it. */
static const char *state_of(struct arena *arena, const json_t *state)
{
    const char *text = arena_printf(arena, "%s, %s (%s)", member(state, "tier"),
                                    member(state, "status"), member(state, "payment"));
    return text ? text : "?";
}

static void customer_told(struct reconcile *reconcile, const json_t *one)
{
    struct arena *arena = &reconcile->page->request->arena;
    struct admin_progress *progress = &reconcile->progress;
    const char *id = member(one, "customer_id"), *name = member(one, "external_id");
    progress->at++;
    if (!json_is_true(json_object_get(one, "read"))) {
        progress->counts[1]++;
        admin_progress_row(progress, id, name, "could not be read", true);
    } else if (json_is_true(json_object_get(one, "changed"))) {
        progress->counts[0]++;
        const char *text =
            arena_printf(arena, "%s → %s", state_of(arena, json_object_get(one, "before")),
                         state_of(arena, json_object_get(one, "after")));
        admin_progress_row(progress, id, name, text ? text : "changed", false);
    }
}

static bool part_next(struct admin_work *work)
{
    struct reconcile *reconcile = CONTAINER_OF(work, struct reconcile, work);
    const char *cursor = reconcile->progress.cursor;
    if (reconcile->asked) return false;
    reconcile->asked = true;
    const char *query =
        arena_printf(&work->request->arena, "limit=100%s%s", *cursor ? "&cursor=" : "", cursor);
    work->call =
        (struct inner_call){.method = HTTP_M_POST,
                            .path = query ? "/v1/payments/reconcile" : NULL,
                            .query = query,
                            .body = reconcile->heals ? SPAN("{}") : SPAN("{\"dry_run\":true}")};
    return true;
}

static void part_told(struct admin_work *work)
{
    struct reconcile *reconcile = CONTAINER_OF(work, struct reconcile, work);
    const json_t *one;
    size_t index;
    admin_work_failed(work, reconcile->page);
    if (work->call.status >= 300) return;
    json_array_foreach(json_object_get(work->call.answer, "data"), index, one)
        customer_told(reconcile, one);
    admin_progress_go_on(&reconcile->progress,
                         json_string_value(json_object_get(work->call.answer, "next_cursor")));
}

static void part_end(struct admin_work *work)
{
    struct reconcile *reconcile = CONTAINER_OF(work, struct reconcile, work);
    struct web_form form = reconcile->action->form; /* the action dies with the answer */
    reconcile_show(reconcile);
    web_form_done(&form);
}

struct verdict handle_admin_reconcile(struct http_request *request)
{
    struct verdict verdict;
    struct admin_action *action = admin_action_new(request, &verdict);
    if (!action) return verdict;
    /* The provider is asked within payment.reads_per_second. */
    http_answer_by(request, WAIT_MS + request_service(request)->settings->payment.timeout_ms,
                   web_answer_late);
    struct reconcile *reconcile = reconcile_new(request, &action->form);
    if (!reconcile) {
        web_form_done(&action->form);
        return web_reply_error(request, ERR_NO_MEMORY, NULL);
    }
    reconcile->work = (struct admin_work){
        .request = request, .next = part_next, .told = part_told, .end = part_end};
    reconcile->action = action;
    admin_work_go(&reconcile->work);
    return http_pending(request);
}
