/* The usage calls. Called by the routing on the loop thread; the read is one job of
 * service->readers. What always holds: series and quota come from one snapshot that includes what
 * is committed but not folded; every bucket of the range is there, also empty ones, and there are
 * at most BUCKETS_MAX. */
#include "api/usage.h"

#include "api/reading.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/json.h"
#include "core/period.h"
#include "store/usage.h"

enum { BUCKETS_MAX = 1000 };
enum granularity { BY_HOUR, BY_DAY, BY_MONTH };

struct usage_reading {
    struct reading reading;
    struct usage_owner owner;
    struct usage_series series;
    int64_t now_ms;
    struct period period; /* of the customer's quota */
    uint64_t used;
};

/* ---- the range ---- */

static int64_t bucket_start(enum granularity granularity, int64_t wall_ms)
{
    switch (granularity) {
    case BY_HOUR:
        return period_hour_start(wall_ms);
    case BY_DAY:
        return period_day_start(wall_ms);
    case BY_MONTH:
        return period_month_start(wall_ms);
    }
    return wall_ms;
}

static int64_t bucket_next(enum granularity granularity, int64_t start)
{
    switch (granularity) {
    case BY_HOUR:
        return start + HOUR_MS;
    case BY_DAY:
        return start + DAY_MS;
    case BY_MONTH:
        return period_month_next(start);
    }
    return start + HOUR_MS;
}

static void time_query(struct http_request *request, const char *name, int64_t *wall_ms,
                       struct problem *problem)
{
    struct span text = query_text(request, name);
    if (!text.data || time_parse(text, wall_ms)) return;
    char location[32] = "query.";
    strncat(location, name, sizeof location - 8);
    problem_add_field(problem, location,
                      "must be a time like 2027-01-31T12:00:00Z (RFC 3339, percent-encoded)");
}

static bool granularity_read(struct http_request *request, enum granularity *granularity,
                             struct problem *problem)
{
    struct span text = query_text(request, "granularity");
    *granularity = BY_DAY;
    if (!text.data || span_is(text, "day")) return true;
    if (span_is(text, "hour"))
        *granularity = BY_HOUR;
    else if (span_is(text, "month"))
        *granularity = BY_MONTH;
    else
        problem_add_field(problem, "query.granularity", "must be one of: hour, day, month");
    return problem->field_count == 0;
}

/* Fills starts, count and end; from is inclusive, to exclusive, both widened to whole buckets. */
static enum err series_plan(struct http_request *request, struct usage_series *series, int64_t from,
                            int64_t to, enum granularity granularity, struct problem *problem)
{
    int64_t *starts = arena_alloc(&request->arena, BUCKETS_MAX * sizeof *starts);
    if (!starts) return ERR_NO_MEMORY;
    int64_t at = bucket_start(granularity, from);
    for (; at < to && series->count < BUCKETS_MAX; at = bucket_next(granularity, at))
        starts[series->count++] = at;
    if (at < to) {
        problem_add_field(problem, "query.from",
                          "makes more than %d buckets: choose a shorter range or a coarser "
                          "granularity",
                          BUCKETS_MAX);
        return ERR_DENIED;
    }
    series->starts = starts;
    series->end = at;
    series->counts = arena_alloc(&request->arena, (series->count + 1) * sizeof *series->counts);
    return series->counts ? ERR_OK : ERR_NO_MEMORY;
}

/* from: the month's first instant unless given; to: the end of the current bucket. */
static enum err range_read(struct http_request *request, struct usage_series *series,
                           struct problem *problem)
{
    static const char *const names[] = {"from", "to", "granularity", NULL};
    if (!query_only(request, names, problem)) return ERR_DENIED;
    int64_t to = clock_wall_ms() + 1, from = period_month_start(to);
    enum granularity granularity = BY_DAY;
    bool has_to = query_text(request, "to").data != NULL;
    time_query(request, "to", &to, problem);
    if (has_to) from = period_month_start(to > 0 ? to - 1 : 0);
    time_query(request, "from", &from, problem);
    if (!granularity_read(request, &granularity, problem) || problem->field_count)
        return ERR_DENIED;
    if (from >= to) {
        problem_add_field(problem, "query.from", "must be before to");
        return ERR_DENIED;
    }
    return series_plan(request, series, from, to, granularity, problem);
}

/* ---- the read ---- */

static enum err usage_read(struct db *db, struct usage_reading *usage)
{
    enum err error = usage_owner_find(db, &usage->owner);
    if (error != ERR_OK) return error;
    usage->series.kind = usage->owner.key_id ? USAGE_KEY : USAGE_CUSTOMER;
    usage->series.subject = usage->owner.key_id ? usage->owner.key_id : usage->owner.customer_id;
    usage->period = period_at(&usage->owner.months, usage->now_ms);
    struct usage_subject quota = {USAGE_CUSTOMER, usage->owner.customer_id, usage->period.start_ms,
                                  0};
    error = usage_used_many(db, &quota, 1);
    usage->used = quota.used;
    if (error != ERR_OK) return error;
    memset(usage->series.counts, 0, usage->series.count * sizeof *usage->series.counts);
    return usage_series_read(db, &usage->series);
}

static enum err usage_run(struct db *db, struct reading *reading)
{
    struct usage_reading *usage = CONTAINER_OF(reading, struct usage_reading, reading);
    enum err error = usage_snapshot_begin(db);
    if (error == ERR_OK) error = usage_read(db, usage);
    usage_snapshot_end(db);
    return error;
}

static void quota_put(struct buf *out, const struct usage_reading *usage)
{
    uint64_t limit = usage->owner.quota, used = usage->used;
    json_open(out, "quota", '{');
    if (usage->owner.has_quota)
        json_put_u64(out, "limit", limit);
    else
        json_put_null(out, "limit");
    json_put_u64(out, "used", used);
    if (usage->owner.has_quota)
        json_put_u64(out, "remaining", used < limit ? limit - used : 0);
    else
        json_put_null(out, "remaining");
    json_put_time(out, "period_start", usage->period.start_ms);
    json_put_time(out, "resets_at", usage->period.next_ms);
    json_close(out, '}');
}

static void usage_write(struct reading *reading, struct buf *out)
{
    struct usage_reading *usage = CONTAINER_OF(reading, struct usage_reading, reading);
    const struct usage_series *series = &usage->series;
    json_open(out, NULL, '{');
    json_open(out, "data", '[');
    for (size_t i = 0; i < series->count; i++) {
        json_open(out, NULL, '{');
        json_put_time(out, "start", series->starts[i]);
        json_put_u64(out, "allowed", series->counts[i].allowed);
        json_put_u64(out, "denied_quota", series->counts[i].denied_quota);
        json_put_u64(out, "denied_rate", series->counts[i].denied_rate);
        json_put_u64(out, "denied_other", series->counts[i].denied_other);
        json_close(out, '}');
    }
    json_close(out, ']');
    quota_put(out, usage);
    json_close(out, '}');
}

/* ---- the calls ---- */

static struct verdict usage_begin(struct http_request *request, const struct usage_owner *owner)
{
    struct problem problem = {0};
    struct usage_reading *usage = ARENA_NEW(&request->arena, struct usage_reading);
    if (!usage) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    usage->owner = *owner;
    usage->now_ms = clock_wall_ms();
    enum err error = range_read(request, &usage->series, &problem);
    if (error != ERR_OK) return problem_reply_error(request, error, &problem);
    usage->reading.run = usage_run;
    usage->reading.write = usage_write;
    usage->reading.what = owner->key_id ? "key" : "customer";
    return reading_submit(&usage->reading, request);
}

struct verdict handle_key_usage(struct http_request *request)
{
    struct usage_owner owner = {0};
    if (!path_id(request, 0, "key", &owner.key_id)) return problem_reply_not_found(request, "key");
    return usage_begin(request, &owner);
}

struct verdict handle_customer_usage(struct http_request *request)
{
    struct customer_ref ref;
    if (!customer_ref_parse(path_text(request, 0), &ref))
        return problem_reply_not_found(request, "customer");
    struct usage_owner owner = {.customer_id = ref.id, .external_id = ref.external_id};
    return usage_begin(request, &owner);
}
