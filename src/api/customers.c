/* The customer calls. Called by the routing on the loop thread. What always holds: name and e-mail
 * leave only in answers, never in a log; and a request is read and checked whole before anything is
 * submitted. */
#include "api/customers.h"

#include "api/auth.h"
#include "api/idempotency.h"
#include "api/reading.h"
#include "api/version.h"
#include "base/codec.h"
#include "base/json.h"
#include "core/period.h"
#include "core/tier.h"
#include "crypto/envelope.h"
#include "service/context.h"
#include "service/customer_edit.h"
#include "service/entitle.h"
#include "store/usage_snapshot.h"

enum {
    EXTERNAL_ID_MAX = 200,
    NAME_MAX_CHARACTERS = 200,
    REFERENCE_MAX = 255,
    SLUG_MAX = 40,
    LANGUAGE_MAX = 35
};

static const char *const ciphers[] = {"gcm", "cbc", NULL};

/* ---- writing ---- */

static void payment_put(struct buf *out, const struct entitlement_row *row)
{
    json_open(out, "payment", '{');
    json_put_string(out, "provider", row->provider);
    json_put_string(out, "reference", row->reference);
    json_put_string(out, "status", row->payment_status);
    json_put_time(out, "period_start", row->period_start);
    json_put_time(out, "period_end", row->period_end);
    json_put_time(out, "grace_until", row->grace_until);
    bool changes = row->later_tier && row->later_tier[0];
    json_put_string(out, "next_tier", changes ? row->later_tier : NULL);
    json_put_time(out, "next_tier_at", row->later_at);
    json_close(out, '}');
}

/* Never the keys themselves. */
static void encryption_put(struct buf *out, const struct customer_view *view)
{
    for (unsigned kind = 0; kind < MAIL_KEY_KINDS; kind++) {
        const struct customer_key *key = &view->keys.of[kind];
        const char *name = encryption_field((enum mail_key_kind)kind);
        if (!key->fingerprint) {
            json_put_null(out, name);
            continue;
        }
        json_open(out, name, '{');
        json_put_string(out, "fingerprint", key->fingerprint);
        json_put_time(out, "expires_at", key->ends_at);
        json_close(out, '}');
    }
    json_put_string(out, "smime_cipher", ciphers[view->keys.smime_cbc]);
    json_put_string(out, "language", view->language);
}

static void quota_put(struct buf *out, const struct customer_view *view)
{
    json_open(out, "quota", '{');
    if (view->has_quota)
        json_put_u64(out, "limit", view->quota);
    else
        json_put_null(out, "limit");
    json_put_u64(out, "used", view->used);
    if (view->has_quota)
        json_put_u64(out, "remaining", view->used < view->quota ? view->quota - view->used : 0);
    else
        json_put_null(out, "remaining");
    json_put_time(out, "period_start", view->period.start_ms);
    json_put_time(out, "resets_at", view->period.next_ms);
    json_close(out, '}');
}

void customer_put(struct buf *out, const char *name, const struct customer_view *view)
{
    json_open(out, name, '{');
    json_put_id(out, "id", "cus", view->id);
    json_put_string(out, "external_id", view->external_id);
    json_put_string(out, "email", view->email);
    json_put_string(out, "name", view->name);
    json_put_string(out, "tier", view->entitlement.tier);
    json_put_string(out, "status", entitle_status(view->entitlement.status));
    encryption_put(out, view);
    payment_put(out, &view->entitlement);
    quota_put(out, view);
    json_put_raw(out, "metadata", span_text(view->metadata));
    json_put_time(out, "created_at", view->created_at);
    json_close(out, '}');
}

/* ---- reading ---- */

static void encryption_read(struct fields *fields, struct encryption *encryption)
{
    for (unsigned kind = 0; kind < MAIL_KEY_KINDS; kind++) {
        enum field result = field_lines(fields, encryption_field((enum mail_key_kind)kind), 1,
                                        MAIL_KEY_TEXT_MAX, &encryption->of[kind].text);
        encryption->of[kind].given = result == FIELD_SET || result == FIELD_NULL;
    }
    unsigned cipher = 0;
    enum field result = field_choice(fields, "smime_cipher", ciphers, &cipher);
    encryption->cipher_given =
        field_not_null(fields, "smime_cipher", result) && result == FIELD_SET;
    encryption->smime_cbc = cipher != 0;
}

/* True when it stands there, be it null. */
static bool language_read(struct fields *fields, const char **language)
{
    enum field result = field_word(fields, "language", 1, LANGUAGE_MAX, language);
    if (result == FIELD_SET && !language_tag_is_good(span_text(*language)))
        field_wrong(fields, "language", "must be a language tag such as de or pt-BR");
    return result == FIELD_SET || result == FIELD_NULL;
}

/* True when payment.reference stands there, be it null. */
static bool payment_read(struct fields *fields, const char **reference)
{
    struct fields payment;
    enum field result = field_object(fields, "payment", &payment);
    if (!field_not_null(fields, "payment", result) || result != FIELD_SET) return false;
    result = field_text(&payment, "reference", 1, REFERENCE_MAX, reference);
    fields_finish(&payment);
    return result == FIELD_SET || result == FIELD_NULL;
}

static void external_id_read(struct fields *fields, const char **external_id)
{
    struct customer_ref ref;
    enum field result = field_word(fields, "external_id", 1, EXTERNAL_ID_MAX, external_id);
    if (!field_required(fields, "external_id", result)) return;
    if (!customer_ref_parse(span_text(*external_id), &ref) || ref.id)
        field_wrong(fields, "external_id", "must not look like a customer id (cus_…)");
}

void customer_fields_read(struct fields *fields, struct signup *signup)
{
    external_id_read(fields, &signup->external_id);
    field_required(fields, "email", field_email(fields, "email", &signup->email));
    field_text(fields, "name", 1, NAME_MAX_CHARACTERS, &signup->name);
    field_required(fields, "tier", field_word(fields, "tier", 1, SLUG_MAX, &signup->tier));
    payment_read(fields, &signup->reference);
    encryption_read(fields, &signup->encryption);
    language_read(fields, &signup->language);
    field_not_null(fields, "metadata", field_metadata(fields, "metadata", &signup->metadata));
}

/* ---- create ---- */

static void create_write(struct operation *operation, struct buf *out)
{
    customer_put(out, NULL, &CONTAINER_OF(operation, struct signup, operation)->customer);
}

static void create_done(struct signup *signup, enum err error)
{
    struct http_request *request = signup->operation.request;
    struct answer answer = answer_take(&signup->operation, error);
    signup_done(signup);
    answer_finish(request, &answer);
}

struct verdict handle_customer_create(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct signup *signup = ARENA_NEW(&request->arena, struct signup);
    if (!signup) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    customer_fields_read(&body.fields, signup);
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    signup->operation.service = request_service(request);
    signup->operation.request = request;
    signup->operation.token_id = caller_of(request)->token_id;
    signup->operation.status = 201;
    signup->operation.write = create_write;
    signup->done = create_done;
    enum err error = signup_start(signup);
    return error ? problem_reply_error(request, error, NULL) : http_pending(request);
}

/* ---- edit and erase ---- */

static void edit_done(struct customer_edit *edit, enum err error)
{
    struct http_request *request = edit->operation.request;
    struct problem problem = edit->operation.problem;
    bool erased = edit->erase;
    int64_t version = edit->view.updated_at;
    struct buf out = {0};
    if (!error && !erased) customer_put(&out, NULL, &edit->view);
    customer_edit_done(edit);
    if (error)
        problem_finish_error(request, error, &problem);
    else if (erased)
        finish_empty(request, 204);
    else
        finish_json_version(request, 200, &out, version);
}

static struct verdict edit_start(struct customer_edit *edit, struct http_request *request)
{
    edit->operation.service = request_service(request);
    edit->operation.request = request;
    edit->operation.token_id = caller_of(request)->token_id;
    edit->done = edit_done;
    enum err error = customer_edit_start(edit);
    return error ? problem_reply_error(request, error, NULL) : http_pending(request);
}

static bool customer_path(struct http_request *request, struct customer_name *name)
{
    struct customer_ref ref;
    if (!customer_ref_parse(path_text(request, 0), &ref)) return false;
    *name = (struct customer_name){ref.id, ref.external_id};
    return true;
}

static void edit_read(struct fields *fields, struct customer_edit *edit)
{
    field_not_null(fields, "tier", field_word(fields, "tier", 1, SLUG_MAX, &edit->tier));
    field_not_null(fields, "email", field_email(fields, "email", &edit->contact.email));
    enum field name = field_text(fields, "name", 1, NAME_MAX_CHARACTERS, &edit->name);
    edit->has_name = name == FIELD_SET || name == FIELD_NULL;
    edit->has_reference = payment_read(fields, &edit->reference);
    encryption_read(fields, &edit->contact.encryption);
    edit->has_language = language_read(fields, &edit->language);
    field_not_null(fields, "metadata", field_metadata(fields, "metadata", &edit->metadata));
}

struct verdict handle_customer_patch(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct customer_edit *edit = ARENA_NEW(&request->arena, struct customer_edit);
    if (!edit) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!customer_path(request, &edit->customer))
        return problem_reply_not_found(request, "customer");
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    edit_read(&body.fields, edit);
    if (!precondition_read(request, &edit->precondition, &body.problem) ||
        !query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    return edit_start(edit, request);
}

struct verdict handle_customer_delete(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct customer_edit *edit = ARENA_NEW(&request->arena, struct customer_edit);
    if (!edit) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!customer_path(request, &edit->customer))
        return problem_reply_not_found(request, "customer");
    if (!body_open_optional(&body, request) ||
        !precondition_read(request, &edit->precondition, &body.problem) ||
        !query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    edit->erase = true;
    return edit_start(edit, request);
}

/* ---- reads ---- */

struct customers_reading {
    struct reading reading;
    struct page page;
    struct customer_filter filter;
    unsigned char email_index[BLIND_INDEX_SIZE];
    bool single;
    struct customer_view *views;
    size_t count;
};

static enum err customers_run(struct db *db, struct reading *reading)
{
    struct customers_reading *customers = CONTAINER_OF(reading, struct customers_reading, reading);
    const struct keyring *keyring = request_service(reading->request)->keyring;
    enum err error = usage_snapshot_begin(db);
    if (!error)
        error = customer_view_list(db, keyring, &customers->filter, reading->now_ms,
                                   &reading->arena, &customers->views, &customers->count);
    if (!error)
        error = customer_view_count(db, customers->views, customers->count, &reading->arena);
    usage_snapshot_end(db);
    if (error || !customers->single) return error;
    if (!customers->count) return ERR_NOT_FOUND;
    reading->version = customers->views->updated_at;
    return ERR_OK;
}

static void customers_write(struct reading *reading, struct buf *out)
{
    struct customers_reading *customers = CONTAINER_OF(reading, struct customers_reading, reading);
    if (customers->single) {
        customer_put(out, NULL, customers->views);
        return;
    }
    bool more = customers->count > customers->page.limit;
    size_t shown = more ? customers->page.limit : customers->count;
    page_begin(out);
    for (size_t i = 0; i < shown; i++)
        customer_put(out, NULL, &customers->views[i]);
    page_end(out, more ? customers->views[shown - 1].id : 0);
}

static struct verdict customers_submit(struct customers_reading *customers,
                                       struct http_request *request)
{
    customers->reading.run = customers_run;
    customers->reading.write = customers_write;
    customers->reading.what = "customer";
    return reading_submit(&customers->reading, request);
}

struct verdict handle_customer_get(struct http_request *request)
{
    struct problem problem = {0};
    struct customers_reading *customers = ARENA_NEW(&request->arena, struct customers_reading);
    if (!customers) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!customer_path(request, &customers->filter.name))
        return problem_reply_not_found(request, "customer");
    if (!query_only(request, NULL, &problem)) return problem_reply(request, &problem);
    customers->single = true;
    customers->filter.limit = 1;
    return customers_submit(customers, request);
}

struct verdict handle_customers_list(struct http_request *request)
{
    static const char *const names[] = {"external_id", "email", "tier", "order", NULL};
    struct problem problem = {0};
    struct customers_reading *customers = ARENA_NEW(&request->arena, struct customers_reading);
    if (!customers) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!page_read(request, names, &customers->page, &problem))
        return problem_reply(request, &problem);
    struct customer_filter *filter = &customers->filter;
    struct span email = query_text(request, "email");
    if (email.data) {
        blind_index(request_service(request)->keyring, email, customers->email_index);
        filter->email_index = customers->email_index;
    }
    filter->name.external_id = query_text(request, "external_id");
    filter->tier = query_text(request, "tier");
    struct customer_ref ref;
    if (filter->name.external_id.data && !customer_ref_parse(filter->name.external_id, &ref))
        problem_add_field(&problem, "query.external_id", "must be an external_id");
    if (filter->tier.data && !tier_slug_valid(filter->tier))
        problem_add_field(&problem, "query.tier", "must be the slug of a tier");
    page_order_read(request, &customers->page, &problem);
    if (problem.field_count) return problem_reply(request, &problem);
    filter->oldest_first = customers->page.oldest;
    filter->before = customers->page.before;
    filter->limit = customers->page.limit + 1;
    return customers_submit(customers, request);
}
