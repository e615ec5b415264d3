/* The dashboard's first page. Called by its routing on the loop thread; the figures are read by a
 * job of the readers (service/figures.h), and rotations and alerts by the API's own calls. What
 * always holds: what is counted is what is folded, a second behind the calls at most, or the page
 * says when it was. */
#include "api/admin.h"
#include "api/admin_chart.h"
#include "api/request.h"
#include "io/db_pool.h"
#include "service/context.h"
#include "service/figures.h"

enum { BUCKETS_MAX = 64 };

struct overview {
    struct figures_ask ask;
    struct db_job job;
    struct admin_page *page;
    struct admin_range range;
    int64_t starts[BUCKETS_MAX];
    size_t buckets;
    struct usage_counts usage[BUCKETS_MAX];
};

static enum err usage_run(struct db *db, struct db_job *job)
{
    struct overview *overview = CONTAINER_OF(job, struct overview, job);
    memset(overview->usage, 0, sizeof overview->usage);
    return overview_usage(db, overview->starts, overview->buckets, overview->range.to,
                          overview->usage);
}

static json_t *usage_json(const struct overview *overview)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < overview->buckets; i++) {
        const struct usage_counts *usage = &overview->usage[i];
        char start[TIME_TEXT_SIZE];
        time_format(start, overview->starts[i]);
        if (json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I, s:I}", "start", start,
                                                  "allowed", (json_int_t)usage->allowed,
                                                  "denied_quota", (json_int_t)usage->denied_quota,
                                                  "denied_rate", (json_int_t)usage->denied_rate,
                                                  "denied_other", (json_int_t)usage->denied_other)))
            break;
    }
    return list;
}

static json_t *counts_json(const struct overview_counts *counts)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:b, s:b}",
        "keys_active", (json_int_t)counts->keys_active, "keys_disabled",
        (json_int_t)counts->keys_disabled, "keys_suspended", (json_int_t)counts->keys_suspended,
        "keys_revoked", (json_int_t)counts->keys_revoked, "customers",
        (json_int_t)counts->customers, "mails_waiting", (json_int_t)counts->mails_waiting,
        "mails_dead", (json_int_t)counts->mails_dead, "mails_sent", (json_int_t)counts->mails_sent,
        "past_due", (json_int_t)counts->past_due, "suspended", (json_int_t)counts->suspended,
        "readings_failing", (json_int_t)counts->readings_failing, "alerts_open",
        (json_int_t)counts->alerts_open, "rotations_due", (json_int_t)counts->rotations_due,
        "has_alerts", counts->alerts_open > 0, "mail_bad", counts->mails_dead > 0, "payment_bad",
        counts->readings_failing > 0, "payment_warns", counts->past_due + counts->suspended > 0);
}

static json_t *top_json(const struct figures *figures)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < figures->top_count; i++) {
        const struct overview_customer *row = &figures->top[i];
        char id[ID_TEXT_SIZE];
        uint64_t share = row->has_quota && row->quota ? row->used * 100 / row->quota : 0;
        id_format(id, "cus", row->id);
        json_t *object = json_pack("{s:s, s:s, s:s, s:I, s:b, s:I, s:I, s:s}", "id", id, "name",
                                   row->external_id ? row->external_id : id, "tier", row->tier,
                                   "used", (json_int_t)row->used, "has_quota", row->has_quota,
                                   "quota", (json_int_t)row->quota, "share",
                                   (json_int_t)(share > 100 ? 100 : share), "level",
                                   share >= 100  ? "bad"
                                   : share >= 80 ? "warn"
                                                 : "");
        if (json_array_append_new(list, object)) break;
    }
    return list;
}

static void figures_told(struct figures_ask *ask, enum err error, const struct figures *figures)
{
    struct overview *overview = CONTAINER_OF(ask, struct overview, ask);
    struct admin_page *page = overview->page;
    if (error) {
        admin_page_fail(page, error, NULL);
        return;
    }
    json_t *counts = counts_json(&figures->counts), *top = top_json(figures);
    admin_page_words(counts);
    admin_page_words(top);
    admin_page_set(page, "counts", counts);
    admin_page_set(page, "top", top);
    if (figures->kept) {
        char text[TIME_TEXT_SIZE];
        time_format(text, figures->read_at);
        json_t *kept = json_pack("{s:s}", "at", text);
        admin_page_words(kept);
        admin_page_set(page, "kept", kept);
    }
    admin_page_show(page);
}

static void usage_done(struct db_job *job, enum err error)
{
    struct overview *overview = CONTAINER_OF(job, struct overview, job);
    struct admin_page *page = overview->page;
    if (error) {
        admin_page_fail(page, error, NULL);
        return;
    }
    json_t *usage = usage_json(overview);
    admin_page_set(page, "chart", admin_chart_make(usage, &overview->range));
    json_decref(usage);
    overview->ask.done = figures_told;
    figures_ask(request_service(page->request)->figures, &overview->ask);
}

static void overview_start(struct admin_page *page)
{
    struct http_request *request = page->request;
    struct overview *overview = ARENA_NEW(&request->arena, struct overview);
    if (!overview) {
        admin_page_fail(page, ERR_NO_MEMORY, NULL);
        return;
    }
    overview->job = (struct db_job){.run = usage_run, .done = usage_done};
    overview->page = page;
    overview->range = admin_range_read(request);
    int64_t unit = INT64_C(1000) * (overview->range.hours ? 3600 : 86400);
    for (int64_t at = overview->range.from;
         at < overview->range.to && overview->buckets < BUCKETS_MAX; at += unit)
        overview->starts[overview->buckets++] = at;
    enum err error = db_submit(request_service(request)->readers, &overview->job);
    if (error) admin_page_fail(page, error, NULL);
}

struct verdict handle_admin_overview(struct http_request *request)
{
    struct admin_page *page = admin_page_new(request, "admin_overview", "Overview", "overview");
    if (!page) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    admin_page_part(page, "alerts", "/v1/alerts", "status=open&limit=5");
    admin_page_part(page, "rotations", "/v1/rotations", "status=notified&limit=5");
    page->finish = overview_start;
    return admin_page_run(page);
}
