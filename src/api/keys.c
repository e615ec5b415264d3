/* The key calls. Called by the routing on the loop thread; changes are operations of the committer,
 * reads are jobs of the readers. What always holds: a request is read and checked whole before
 * anything is submitted, and a secret is wiped once its answer has been written. */
#include "api/keys.h"

#include "api/idempotency.h"
#include "api/key_json.h"
#include "api/reading.h"
#include "api/version.h"
#include "base/codec.h"
#include "base/json.h"
#include "base/plain_text.h"
#include "core/api_key.h"
#include "core/tier.h"
#include "core/title_words.h"
#include "crypto/key_hash.h"
#include "crypto/keyring.h"
#include "service/claim.h"
#include "service/context.h"
#include "service/rotate.h"
#include "store/import.h"
#include "store/usage_snapshot.h"

enum { LOOKUP_MAX = 255 };

/* ---- changes ---- */

static void change_write(struct operation *operation, struct buf *out)
{
    const struct key_change *change = CONTAINER_OF(operation, struct key_change, operation);
    key_put(out, NULL, &change->view, change->secret);
}

static void change_answer(struct key_change *change, enum err error)
{
    struct http_request *request = change->operation.request;
    struct answer answer = answer_take(&change->operation, error);
    answer.version = error ? 0 : change->view.row.updated_at;
    key_change_done(change);
    answer_finish(request, &answer);
}

/* status 204: without the key. */
static struct verdict change_submit(struct key_change *change, struct http_request *request,
                                    int status)
{
    change->operation.service = request_service(request);
    change->operation.request = request;
    change->operation.token_id = caller_of(request)->token_id;
    change->operation.status = status;
    change->operation.write = status == 204 ? NULL : change_write;
    change->within = caller_of(request)->permissions;
    change->done = change_answer;
    enum err error = key_change_submit(change);
    if (!error) return http_pending(request);
    key_change_done(change);
    return problem_reply_error(request, error, NULL);
}

struct verdict handle_key_create(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct issue *issue = ARENA_NEW(&request->arena, struct issue);
    if (!issue) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    customer_name_read(&body.fields, &issue->customer);
    key_settings_read(&body.fields, caller_of(request), &issue->settings);
    issue->change.delivery.by_mail = deliver_read(&body.fields, request_service(request));
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    issue_init(issue);
    return change_submit(&issue->change, request, 201);
}

struct verdict handle_key_patch(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct key_edit *edit = ARENA_NEW(&request->arena, struct key_edit);
    if (!edit) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!path_id(request, 0, "key", &edit->change.key_id))
        return problem_reply_not_found(request, "key");
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    key_edit_read(&body.fields, caller_of(request), edit);
    if (!precondition_read(request, &edit->precondition, &body.problem) ||
        !query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    key_edit_init(edit);
    return change_submit(&edit->change, request, 200);
}

struct verdict handle_key_rotate(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    uint64_t grace_s = ROTATE_GRACE_DEFAULT_S;
    struct rotate *rotate = ARENA_NEW(&request->arena, struct rotate);
    if (!rotate) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!path_id(request, 0, "key", &rotate->change.key_id))
        return problem_reply_not_found(request, "key");
    if (!body_open_optional(&body, request)) return problem_reply(request, &body.problem);
    field_not_null(&body.fields, "grace_seconds",
                   field_u64(&body.fields, "grace_seconds", 0, ROTATE_GRACE_MAX_S, &grace_s));
    rotate->change.delivery.by_mail = deliver_read(&body.fields, request_service(request));
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    rotate_init(rotate, (uint32_t)grace_s);
    return change_submit(&rotate->change, request, 200);
}

/* The calls that take nothing, or only `deliver`. NULL: *verdict is the answer. */
static struct key_change *plain_read(struct http_request *request, size_t size, bool delivers,
                                     struct verdict *verdict)
{
    struct body body CLEANUP(body_done) = {0};
    struct key_change *change = arena_alloc(&request->arena, size);
    if (!change) {
        *verdict = problem_reply_error(request, ERR_NO_MEMORY, NULL);
        return NULL;
    }
    if (!path_id(request, 0, "key", &change->key_id)) {
        *verdict = problem_reply_not_found(request, "key");
        return NULL;
    }
    bool good = body_open_optional(&body, request);
    if (good && delivers)
        change->delivery.by_mail = deliver_read(&body.fields, request_service(request));
    if (good) good = query_only(request, NULL, &body.problem) && body_finish(&body);
    if (good) return change;
    *verdict = problem_reply(request, &body.problem);
    return NULL;
}

struct verdict handle_key_end_overlap(struct http_request *request)
{
    struct verdict verdict;
    struct key_change *change = plain_read(request, sizeof *change, false, &verdict);
    if (!change) return verdict;
    rotate_end_init(change);
    return change_submit(change, request, 200);
}

struct verdict handle_key_postpone(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    uint64_t days = 0;
    struct postpone *postpone = ARENA_NEW(&request->arena, struct postpone);
    if (!postpone) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!path_id(request, 0, "key", &postpone->change.key_id))
        return problem_reply_not_found(request, "key");
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    field_required(&body.fields, "days",
                   field_u64(&body.fields, "days", 1, POSTPONE_DAYS_MAX, &days));
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    postpone_init(postpone, (uint32_t)days);
    return change_submit(&postpone->change, request, 200);
}

struct verdict handle_key_resend_claim(struct http_request *request)
{
    struct verdict verdict;
    struct key_change *change = plain_read(request, sizeof *change, false, &verdict);
    if (!change) return verdict;
    claim_resend_init(change);
    return change_submit(change, request, 200);
}

struct verdict handle_key_regenerate(struct http_request *request)
{
    struct verdict verdict;
    struct key_change *change = plain_read(request, sizeof *change, true, &verdict);
    if (!change) return verdict;
    regenerate_init(change);
    return change_submit(change, request, 200);
}

static struct verdict state_change(struct http_request *request, enum key_state state, int status)
{
    struct verdict verdict;
    struct key_change *change =
        plain_read(request, sizeof(struct key_state_change), false, &verdict);
    if (!change) return verdict;
    key_state_init(CONTAINER_OF(change, struct key_state_change, change), state);
    return change_submit(change, request, status);
}

struct verdict handle_key_delete(struct http_request *request)
{
    return state_change(request, KEY_STATE_REVOKE, 204);
}

struct verdict handle_key_revoke(struct http_request *request)
{
    return state_change(request, KEY_STATE_REVOKE, 200);
}

struct verdict handle_key_disable(struct http_request *request)
{
    return state_change(request, KEY_STATE_DISABLE, 200);
}

struct verdict handle_key_enable(struct http_request *request)
{
    return state_change(request, KEY_STATE_ENABLE, 200);
}

/* ---- reads ---- */

struct key_reading {
    struct reading reading;
    uint64_t id; /* 0: of `hash` */
    unsigned char hash[KEY_HASH_SIZE];
    const char *pepper_id;
    const struct keyring *keyring;
    struct span text; /* of what is looked up */
    struct key_view view;
};

static enum err key_read(struct db *db, struct key_reading *key)
{
    struct reading *reading = &key->reading;
    uint64_t id = key->id;
    enum err error = ERR_OK;
    if (!id) error = key_hash_find(db, key->hash, KEY_HASH_ALGORITHM, key->pepper_id, &id);
    if (error == ERR_NOT_FOUND && key->text.data)
        error = import_find(db, key->keyring, key->text, &id);
    if (!error) error = key_view_find(db, id, reading->now_ms, &reading->arena, &key->view);
    return error ? error : key_view_count(db, &key->view, 1, &reading->arena);
}

static enum err key_run(struct db *db, struct reading *reading)
{
    struct key_reading *key = CONTAINER_OF(reading, struct key_reading, reading);
    enum err error = usage_snapshot_begin(db);
    if (!error) error = key_read(db, key);
    usage_snapshot_end(db);
    reading->version = error ? 0 : key->view.row.updated_at;
    return error;
}

static void key_write(struct reading *reading, struct buf *out)
{
    key_put(out, NULL, &CONTAINER_OF(reading, struct key_reading, reading)->view, NULL);
}

static struct verdict key_reading_submit(struct key_reading *key, struct http_request *request)
{
    key->reading.run = key_run;
    key->reading.write = key_write;
    key->reading.what = "key";
    return reading_submit(&key->reading, request);
}

struct verdict handle_key_get(struct http_request *request)
{
    struct problem problem = {0};
    struct key_reading *key = ARENA_NEW(&request->arena, struct key_reading);
    if (!key) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!path_id(request, 0, "key", &key->id)) return problem_reply_not_found(request, "key");
    if (!query_only(request, NULL, &problem)) return problem_reply(request, &problem);
    return key_reading_submit(key, request);
}

struct verdict handle_key_lookup(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    const struct keyring *keyring = request_service(request)->keyring;
    struct api_key_parts parts;
    const char *text = "";
    struct key_reading *key = ARENA_NEW(&request->arena, struct key_reading);
    if (!key) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    field_required(&body.fields, "key", field_key(&body.fields, "key", LOOKUP_MAX, &text));
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body))
        return problem_reply(request, &body.problem);
    if (!*text || (api_key_parse(span_text(text), &parts) && parts.is_token))
        return problem_reply_not_found(request, "key");
    key_hash(keyring, span_text(text), key->hash);
    key->pepper_id = keyring_pepper_id(keyring);
    key->keyring = keyring;
    key->text = span_text(text);
    return key_reading_submit(key, request);
}

/* ---- list ---- */

struct keys_reading {
    struct reading reading;
    struct page page;
    struct key_filter filter;
    struct key_view *views;
    size_t count;
    uint64_t next;
};

static enum err keys_run(struct db *db, struct reading *reading)
{
    struct keys_reading *keys = CONTAINER_OF(reading, struct keys_reading, reading);
    enum err error = usage_snapshot_begin(db);
    if (!error)
        error = key_view_list(db, &keys->filter, reading->now_ms, &reading->arena, &keys->views,
                              &keys->count, &keys->next);
    if (!error) error = key_view_count(db, keys->views, keys->count, &reading->arena);
    usage_snapshot_end(db);
    return error;
}

static void keys_write(struct reading *reading, struct buf *out)
{
    struct keys_reading *keys = CONTAINER_OF(reading, struct keys_reading, reading);
    page_begin(out);
    for (size_t i = 0; i < keys->count; i++)
        key_put(out, NULL, &keys->views[i], NULL);
    page_end(out, keys->next);
}

/* The words of q; one that begins another, or stands twice, does no harm. */
static void words_read(struct span q, struct key_filter *filter, struct problem *problem)
{
    struct span word;
    if (!q.data) return;
    if (!text_is_utf8(q)) {
        problem_add_field(problem, "query.q", "must be UTF-8");
        return;
    }
    while (title_word_next(&q, &word)) {
        if (filter->word_count == KEY_WORDS_MAX) {
            problem_add_field(problem, "query.q", "must have at most 8 words");
            return;
        }
        filter->words[filter->word_count++] = word;
    }
    if (!filter->word_count) problem_add_field(problem, "query.q", "must have a letter or a digit");
}

static void unused_read(struct span since, struct key_filter *filter, struct problem *problem)
{
    if (!since.data || (time_parse(since, &filter->unused_since) && filter->unused_since)) return;
    problem_add_field(problem, "query.unused_since",
                      "must be a time like 2027-01-31T12:00:00Z (RFC 3339)");
}

static bool keys_filter_read(struct http_request *request, struct keys_reading *keys,
                             struct problem *problem)
{
    static const char *const names[] = {"customer_id",  "status", "tier", "q",
                                        "unused_since", "order",  NULL};
    if (!page_read(request, names, &keys->page, problem)) return false;
    struct key_filter *filter = &keys->filter;
    struct span customer = query_text(request, "customer_id");
    struct span status = query_text(request, "status");
    struct customer_ref ref;
    if (customer.data && !customer_ref_parse(customer, &ref))
        problem_add_field(problem, "query.customer_id", "must be an id (cus_…) or an external_id");
    else if (customer.data && ref.id)
        filter->customer_id = ref.id;
    else if (customer.data)
        filter->external_id = customer;
    filter->has_status = status.data != NULL;
    if (status.data && !key_status_parse(status, &filter->status))
        problem_add_field(problem, "query.status",
                          "must be one of: active, rotating, disabled, suspended, expired, "
                          "revoked");
    filter->tier = query_text(request, "tier");
    if (filter->tier.data && !tier_slug_valid(filter->tier))
        problem_add_field(problem, "query.tier", "must be the slug of a tier");
    words_read(query_text(request, "q"), filter, problem);
    unused_read(query_text(request, "unused_since"), filter, problem);
    page_order_read(request, &keys->page, problem);
    filter->oldest_first = keys->page.oldest;
    filter->before = keys->page.before;
    filter->limit = keys->page.limit;
    return problem->field_count == 0;
}

struct verdict handle_keys_list(struct http_request *request)
{
    struct problem problem = {0};
    struct keys_reading *keys = ARENA_NEW(&request->arena, struct keys_reading);
    if (!keys) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!keys_filter_read(request, keys, &problem)) return problem_reply(request, &problem);
    keys->reading.run = keys_run;
    keys->reading.write = keys_write;
    return reading_submit(&keys->reading, request);
}
