/* `POST /v1/verify/batch`: up to 1,000 calls in one request. Loop thread. What always holds: a
 * request with anything malformed in it charges nothing; the calls are handed to the meter in their
 * order; what each came to is written when the meter tells it and goes out in order when all are
 * told. An answer of 503 hides no charged call: when some were accepted, those that could not be
 * decided have the code UNAVAILABLE, were not charged, and may be sent again. */
#include "api/verify_batch.h"

#include "api/auth.h"
#include "api/verify_gate.h"
#include "api/verify_json.h"
#include "base/json.h"
#include "conf/settings.h"
#include "service/context.h"

#include <stdio.h>

enum {
    ANSWER_LIMIT = 32 << 20,
    METADATA_LIMIT = 2 << 20, /* bytes of results from which on metadata is left out */
};

struct verify_batch;

struct batch_item {
    struct verify_call call;
    struct verify_batch *batch;
    const char *key;
    size_t at, length; /* its result in batch->text */
};

struct verify_batch {
    struct verify_gate gate;
    struct buf text; /* results, in the order in which they came */
    size_t count, missing;
    bool accepted, undecided;
    struct batch_item *items;
};

/* A result is written like an element that follows another one: with a comma, but for the first. */
static void item_write(struct batch_item *item)
{
    struct buf *text = &item->batch->text;
    size_t start = text->length;
    verify_write(text, &item->call, start < METADATA_LIMIT);
    if (text->failed) return;
    item->at = start + (text->data[start] == ',');
    item->length = text->length - item->at;
}

static void batch_write(const struct verify_batch *batch, struct buf *out)
{
    json_open(out, NULL, '{');
    json_open(out, "results", '[');
    for (size_t i = 0; i < batch->count && !batch->text.failed; i++)
        json_put_raw(out, NULL,
                     span_of(batch->text.data + batch->items[i].at, batch->items[i].length));
    json_close(out, ']');
    json_close(out, '}');
    out->failed |= batch->text.failed;
}

static void batch_finish(struct verify_batch *batch)
{
    if (batch->undecided && !batch->accepted) {
        buf_done(&batch->text);
        problem_finish_error(batch->gate.request, ERR_FULL, NULL);
        return;
    }
    struct buf answer = {.limit = ANSWER_LIMIT};
    batch_write(batch, &answer);
    buf_done(&batch->text);
    verify_gate_finish(&batch->gate, &answer);
}

static void on_verified(struct verify_call *call)
{
    struct batch_item *item = CONTAINER_OF(call, struct batch_item, call);
    struct verify_batch *batch = item->batch;
    batch->accepted |= call->code == VERIFY_VALID;
    batch->undecided |= call->code == VERIFY_UNAVAILABLE;
    verify_failed_log(batch->gate.request, call, item->key);
    item_write(item);
    if (--batch->missing == 0) batch_finish(batch);
}

/* body.requests[i], each read like the body of a single call. */
static void items_read(struct fields *fields, const json_t *array, struct verify_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_item *item = &batch->items[i];
        struct fields inner = {
            .object = json_array_get(array, i), .problem = fields->problem, .arena = fields->arena};
        snprintf(inner.at, sizeof inner.at, "body.requests[%zu]", i);
        item->batch = batch;
        if (!json_is_object(inner.object))
            problem_add_field(fields->problem, inner.at, "must be an object");
        else if (!verify_read(&inner, &item->call, &item->key) &&
                 fields->problem->field_count == PROBLEM_FIELDS_MAX)
            return;
    }
}

/* False: the body's problem is set. */
static bool batch_read(struct body *body, unsigned queue, struct verify_batch *batch)
{
    struct fields *fields = &body->fields;
    field_ignore(fields, "requests");
    json_t *array = json_object_get(fields->object, "requests");
    batch->count = json_array_size(array);
    if (!json_is_array(array))
        field_wrong(fields, "requests", array ? "must be an array" : "is required");
    else if (batch->count > VERIFY_BATCH_MAX)
        field_wrong(fields, "requests", "must be an array of at most %d", VERIFY_BATCH_MAX);
    else if (batch->count > queue)
        field_wrong(fields, "requests", "has more calls than metering.queue, which is %u", queue);
    if (!body_finish(body)) return false;
    size_t room = (batch->count ? batch->count : 1) * sizeof *batch->items;
    batch->items = arena_alloc(fields->arena, room);
    if (!batch->items) {
        problem_for_error(ERR_NO_MEMORY, fields->problem);
        return false;
    }
    items_read(fields, array, batch);
    return fields->problem->code == NULL;
}

/* Those whose check digits are wrong are told already; the meter never calls back from within. */
static void batch_send(struct verify_batch *batch, struct service *service)
{
    batch->missing = batch->count;
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_item *item = &batch->items[i];
        item->call.token_id = batch->gate.token_id;
        item->call.done = on_verified;
        if (verify_hash(batch->gate.request, item->key, &item->call)) {
            meter_verify(service->meter, &item->call);
            continue;
        }
        item_write(item);
        batch->missing--;
    }
}

struct verdict handle_verify_batch(struct http_request *request)
{
    struct service *service = request_service(request);
    struct body body CLEANUP(body_done) = {0};
    if (!body_open(&body, request) || !query_only(request, NULL, &body.problem))
        return problem_reply(request, &body.problem);
    struct verify_batch *batch = ARENA_NEW(&request->arena, struct verify_batch);
    if (!batch) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!batch_read(&body, service->settings->metering.queue, batch))
        return problem_reply(request, &body.problem);
    if (batch->count > meter_room(service->meter))
        return problem_reply_error(request, ERR_FULL, NULL);
    batch->text.limit = ANSWER_LIMIT;
    verify_gate_enter(&batch->gate, request);
    batch_send(batch, service);
    if (batch->missing == 0) batch_finish(batch);
    return http_pending(request);
}
