/* The tier calls. Called by the routing on the loop thread. What always holds: a PUT gives the
 * whole tier, every member of it checked; what was put acts on running periods at once, by the
 * FEED_TIER row of the same transaction. */
#include "api/tiers.h"

#include "api/auth.h"
#include "api/reading.h"
#include "api/version.h"
#include "base/json.h"
#include "core/api_key.h"
#include "core/permission.h"
#include "service/context.h"
#include "service/operation.h"
#include "store/names.h"
#include "store/tier.h"

#include <stdio.h>

enum {
    KEYS_MAX = 1000000,
    DAYS_MAX = 3650,
    GRACE_MAX_S = 2592000,
    REFERENCE_MAX = 200,
    REFERENCES_MAX = 32,
};
#define QUOTA_MAX UINT64_C(1000000000000000)

static const char *const overage_words[] = {"block", "allow", NULL};
static const char *const unclaimed_words[] = {"keep", "retire", NULL};
static const char *const lapse_words[] = {"suspend", "free", NULL};
static const char *const ack_words[] = {"commit", "memory", NULL};

/* ---- writing ---- */

static void names_put(struct buf *out, const char *name, const char *joined)
{
    struct buf list CLEANUP(buf_done) = {0};
    names_to_json(span_text(joined), &list);
    if (list.failed) out->failed = true;
    json_put_raw(out, name, buf_span(&list));
}

static void limits_put(struct buf *out, const struct tier *tier)
{
    struct buf list CLEANUP(buf_done) = {0};
    rate_limits_to_json(tier->rate_limits, tier->rate_limit_count, &list);
    if (list.failed) out->failed = true;
    json_put_raw(out, "rate_limits", buf_span(&list));
}

static void tier_put(struct buf *out, const struct tier_row *row)
{
    const struct tier *tier = &row->tier;
    json_open(out, NULL, '{');
    json_put_string(out, "slug", tier->slug);
    json_put_string(out, "name", tier->name);
    if (tier->has_quota)
        json_put_u64(out, "monthly_quota", tier->monthly_quota);
    else
        json_put_null(out, "monthly_quota");
    json_put_string(out, "overage", overage_name(tier->overage));
    limits_put(out, tier);
    json_put_u64(out, "max_keys", tier->max_keys);
    json_put_bool(out, "requires_payment", tier->requires_payment);
    json_put_string(out, "label", tier->label);
    json_put_u64(out, "rotation_days", tier->rotation_days);
    json_put_u64(out, "notice_days", tier->notice_days);
    json_put_u64(out, "grace_seconds", tier->grace_seconds);
    json_put_u64(out, "hard_stop_days", tier->hard_stop_days);
    json_put_u64(out, "max_overlap_days", tier->max_overlap_days);
    json_put_string(out, "on_unclaimed", on_unclaimed_name(tier->on_unclaimed));
    json_put_string(out, "on_lapse", on_lapse_name(tier->on_lapse));
    names_put(out, "permissions", tier->permissions);
    names_put(out, "price_references", tier->price_references);
    json_put_string(out, "ack", ack_name(tier->ack));
    /* The seeded tiers have no time of their own. */
    json_put_time(out, "created_at", row->created_at);
    json_put_time(out, "updated_at", row->updated_at);
    json_close(out, '}');
}

/* ---- list ---- */

struct tiers_reading {
    struct reading reading;
    struct page page;
    struct tier_row *rows;
    size_t count;
};

static enum err tiers_run(struct db *db, struct reading *reading)
{
    struct tiers_reading *tiers = CONTAINER_OF(reading, struct tiers_reading, reading);
    return tier_list(db, &reading->arena, &tiers->rows, &tiers->count);
}

/* Tiers are few and have no ids: the cursor is the place in the list by slug. */
static void tiers_write(struct reading *reading, struct buf *out)
{
    struct tiers_reading *tiers = CONTAINER_OF(reading, struct tiers_reading, reading);
    size_t begin = (size_t)tiers->page.before, end = begin + tiers->page.limit;
    if (begin > tiers->count) begin = tiers->count;
    if (end > tiers->count) end = tiers->count;
    page_begin(out);
    for (size_t i = begin; i < end; i++)
        tier_put(out, &tiers->rows[i]);
    page_end(out, end < tiers->count ? end : 0);
}

struct verdict handle_tiers_list(struct http_request *request)
{
    struct problem problem = {0};
    struct tiers_reading *tiers = ARENA_NEW(&request->arena, struct tiers_reading);
    if (!tiers) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!page_read(request, NULL, &tiers->page, &problem)) return problem_reply(request, &problem);
    tiers->reading.run = tiers_run;
    tiers->reading.write = tiers_write;
    return reading_submit(&tiers->reading, request);
}

/* ---- one ---- */

struct tier_reading {
    struct reading reading;
    struct span slug;
    struct tier_row row;
};

static enum err tier_run(struct db *db, struct reading *reading)
{
    struct tier_reading *tier = CONTAINER_OF(reading, struct tier_reading, reading);
    enum err error = tier_row_find(db, tier->slug, &tier->row);
    reading->version = error ? 0 : tier_version(&tier->row);
    return error;
}

static void tier_write(struct reading *reading, struct buf *out)
{
    tier_put(out, &CONTAINER_OF(reading, struct tier_reading, reading)->row);
}

struct verdict handle_tier_get(struct http_request *request)
{
    struct problem problem = {0};
    struct tier_reading *tier = ARENA_NEW(&request->arena, struct tier_reading);
    if (!tier) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!query_only(request, NULL, &problem)) return problem_reply(request, &problem);
    tier->slug = path_text(request, 0);
    if (!tier_slug_valid(tier->slug)) return problem_reply_not_found(request, "tier");
    tier->reading.run = tier_run;
    tier->reading.write = tier_write;
    tier->reading.what = "tier";
    return reading_submit(&tier->reading, request);
}

/* ---- replace ---- */

struct tier_operation {
    struct operation operation;
    struct precondition precondition;
    struct tier_row row;
    bool created;
};

static void number_read(struct fields *fields, const char *name, uint32_t min, uint32_t max,
                        uint32_t *out)
{
    uint64_t value = 0;
    if (field_required(fields, name, field_u64(fields, name, min, max, &value)))
        *out = (uint32_t)value;
}

static unsigned choice_read(struct fields *fields, const char *name, const char *const *words)
{
    unsigned index = 0;
    field_required(fields, name, field_choice(fields, name, words, &index));
    return index;
}

static void names_read(struct fields *fields, const char *name, size_t max, size_t length,
                       char out[TIER_LIST_SIZE])
{
    const char *joined = "";
    if (!field_required(fields, name, field_names(fields, name, max, length, &joined))) return;
    if (strlen(joined) >= TIER_LIST_SIZE)
        field_wrong(fields, name, "is too long: at most %d characters in all", TIER_LIST_SIZE - 1);
    else
        snprintf(out, TIER_LIST_SIZE, "%s", joined);
}

static void texts_read(struct fields *fields, struct tier *tier)
{
    const char *text = "";
    if (field_required(fields, "name", field_text(fields, "name", 1, 100, &text))) {
        if (strlen(text) >= sizeof tier->name)
            field_wrong(fields, "name", "must be at most %d bytes", TIER_NAME_SIZE - 1);
        else
            snprintf(tier->name, sizeof tier->name, "%s", text);
    }
    if (field_required(fields, "label", field_word(fields, "label", 1, 200, &text))) {
        if (api_label_valid(span_text(text)))
            snprintf(tier->label, sizeof tier->label, "%s", text);
        else
            field_wrong(fields, "label",
                        "must be 2 to 40 of a-z, 0-9 and _, and must not be the reserved kmt");
    }
    const char *slug = NULL;
    if (field_word(fields, "slug", 1, 200, &slug) == FIELD_SET && strcmp(slug, tier->slug) != 0)
        field_wrong(fields, "slug", "must be the one of the path");
}

static void quota_read(struct fields *fields, struct tier *tier)
{
    enum field quota = field_u64(fields, "monthly_quota", 0, QUOTA_MAX, &tier->monthly_quota);
    tier->has_quota = quota == FIELD_SET;
    if (quota == FIELD_ABSENT)
        field_wrong(fields, "monthly_quota", "is required; null stands for no quota");
}

static void tier_read(struct fields *fields, struct tier *tier)
{
    texts_read(fields, tier);
    quota_read(fields, tier);
    field_required(
        fields, "rate_limits",
        field_rate_limits(fields, "rate_limits", tier->rate_limits, &tier->rate_limit_count));
    field_required(fields, "requires_payment",
                   field_bool(fields, "requires_payment", &tier->requires_payment));
    number_read(fields, "max_keys", 0, KEYS_MAX, &tier->max_keys);
    number_read(fields, "rotation_days", 1, DAYS_MAX, &tier->rotation_days);
    number_read(fields, "notice_days", 0, DAYS_MAX, &tier->notice_days);
    number_read(fields, "grace_seconds", 0, GRACE_MAX_S, &tier->grace_seconds);
    number_read(fields, "hard_stop_days", 0, DAYS_MAX, &tier->hard_stop_days);
    number_read(fields, "max_overlap_days", 0, DAYS_MAX, &tier->max_overlap_days);
    if (tier->rotation_days && tier->notice_days >= tier->rotation_days)
        field_wrong(fields, "notice_days", "must be less than rotation_days");
    tier->overage = choice_read(fields, "overage", overage_words) ? OVERAGE_ALLOW : OVERAGE_BLOCK;
    tier->on_unclaimed = choice_read(fields, "on_unclaimed", unclaimed_words) ? ON_UNCLAIMED_RETIRE
                                                                              : ON_UNCLAIMED_KEEP;
    tier->on_lapse =
        choice_read(fields, "on_lapse", lapse_words) ? ON_LAPSE_FREE : ON_LAPSE_SUSPEND;
    tier->ack = choice_read(fields, "ack", ack_words) ? ACK_MEMORY : ACK_COMMIT;
    names_read(fields, "permissions", PERMISSIONS_MAX, PERMISSION_MAX, tier->permissions);
    names_read(fields, "price_references", REFERENCES_MAX, REFERENCE_MAX, tier->price_references);
    field_ignore(fields, "created_at");
    field_ignore(fields, "updated_at");
}

static enum err put_run(struct db *db, struct operation *operation)
{
    struct tier_operation *put = CONTAINER_OF(operation, struct tier_operation, operation);
    char subject[8 + TIER_SLUG_SIZE];
    int64_t version = 0;
    enum err error = tier_lock(db, span_text(put->row.tier.slug), &version);
    if (!error || error == ERR_NOT_FOUND)
        error = precondition_check(&put->precondition, version, &operation->problem);
    if (!error)
        error = tier_save(db, &put->row, version_next(version, operation->now_ms), &put->created);
    if (error == ERR_FULL)
        return problem_set(&operation->problem, 409, "too_many_tiers",
                           "There are %d tiers already, which is the most there can be.",
                           TIERS_MAX);
    if (error != ERR_OK) return error;
    snprintf(subject, sizeof subject, "tier/%s", put->row.tier.slug);
    operation_feed_tier(operation, put->row.tier.slug);
    operation_audit(operation, put->created ? "tier.create" : "tier.update", subject, 0, NULL);
    return ERR_OK;
}

static void put_done(struct operation *operation, enum err error)
{
    struct tier_operation *put = CONTAINER_OF(operation, struct tier_operation, operation);
    struct http_request *request = operation->request;
    if (error != ERR_OK) {
        problem_finish_error(request, error, &operation->problem);
        return;
    }
    struct buf out = {0};
    tier_put(&out, &put->row);
    finish_json_version(request, put->created ? 201 : 200, &out, tier_version(&put->row));
}

struct verdict handle_tier_put(struct http_request *request)
{
    struct span slug = path_text(request, 0);
    if (!tier_slug_valid(slug)) return problem_reply_not_found(request, "tier");
    struct body body CLEANUP(body_done) = {0};
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    struct tier_operation *put = ARENA_NEW(&request->arena, struct tier_operation);
    if (!put) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    memcpy(put->row.tier.slug, slug.data, slug.length);
    tier_read(&body.fields, &put->row.tier);
    if (!precondition_read(request, &put->precondition, &body.problem) ||
        !query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    put->operation.service = request_service(request);
    put->operation.request = request;
    put->operation.token_id = caller_of(request)->token_id;
    put->operation.run = put_run;
    put->operation.done = put_done;
    enum err error = operation_submit(&put->operation);
    if (error != ERR_OK) return problem_reply_error(request, error, NULL);
    return http_pending(request);
}
