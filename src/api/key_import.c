/* `POST /v1/keys/import`: a key that was issued elsewhere, by its hash. Loop thread. What always
 * holds: the answer holds no secret, and the HMAC key of the body goes into guarded memory and
 * nowhere else.
 */
#include "api/key_import.h"

#include "api/idempotency.h"
#include "api/key_json.h"
#include "core/api_key.h"
#include "service/context.h"
#include "service/import.h"

enum { HMAC_TEXT_MAX = 1024, HASH_TEXT_MAX = 64 };

static void import_write(struct operation *operation, struct buf *out)
{
    const struct key_change *change = CONTAINER_OF(operation, struct key_change, operation);
    key_put(out, NULL, &change->view, NULL);
}

static void import_answer(struct key_change *change, enum err error)
{
    struct http_request *request = change->operation.request;
    struct answer answer = answer_take(&change->operation, error);
    import_done(CONTAINER_OF(change, struct import, issue.change));
    answer_finish(request, &answer);
}

static void hash_read(struct fields *fields, struct key_import *key)
{
    const char *text = "";
    enum field result = field_word(fields, "hash", 1, HASH_TEXT_MAX, &text);
    if (field_required(fields, "hash", result) && !import_hash_parse(span_text(text), key->hash))
        field_wrong(fields, "hash", "must be 32 bytes, as 64 hex digits or in base64");
}

static void hmac_key_read(struct fields *fields, bool wanted, struct key_import *key)
{
    static const char *const encodings[] = {"text", "hex", "base64", NULL};
    const char *text = "";
    unsigned encoding = IMPORT_KEY_TEXT;
    enum field result = field_key(fields, "hmac_key", HMAC_TEXT_MAX, &text);
    enum field form = field_choice(fields, "hmac_key_encoding", encodings, &encoding);
    field_not_null(fields, "hmac_key_encoding", form);
    if (!wanted && result != FIELD_ABSENT)
        field_wrong(fields, "hmac_key", "belongs to the algorithm hmac-sha256 only");
    if (!wanted && form == FIELD_SET)
        field_wrong(fields, "hmac_key_encoding", "belongs to the algorithm hmac-sha256 only");
    if (!wanted || !field_required(fields, "hmac_key", result)) return;
    enum err error =
        import_key_parse(span_text(text), (enum import_key_form)encoding, &key->hmac_key);
    if (error == ERR_INVALID)
        field_wrong(fields, "hmac_key", "must be 1 to 512 bytes in its hmac_key_encoding");
    else if (error)
        problem_for_error(error, fields->problem);
}

static void import_read(struct fields *fields, const struct caller *caller, struct import *import)
{
    static const char *const algorithms[] = {IMPORT_SHA256, IMPORT_HMAC, NULL};
    unsigned algorithm = 0;
    customer_name_read(fields, &import->issue.customer);
    key_settings_read(fields, caller, &import->issue.settings);
    field_required(fields, "algorithm", field_choice(fields, "algorithm", algorithms, &algorithm));
    hash_read(fields, &import->key);
    hmac_key_read(fields, algorithm == 1, &import->key);
    field_required(fields, "start",
                   field_word(fields, "start", 1, API_KEY_START_SIZE - 1, &import->key.start));
}

struct verdict handle_key_import(struct http_request *request)
{
    struct body body CLEANUP(body_done) = {0};
    struct import *import = ARENA_NEW(&request->arena, struct import);
    if (!import) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!body_open(&body, request)) return problem_reply(request, &body.problem);
    import_read(&body.fields, caller_of(request), import);
    if (!query_only(request, NULL, &body.problem) || !body_finish(&body)) {
        import_done(import);
        return problem_reply(request, &body.problem);
    }
    import_init(import);
    struct key_change *change = &import->issue.change;
    change->operation.service = request_service(request);
    change->operation.request = request;
    change->operation.token_id = caller_of(request)->token_id;
    change->operation.status = 201;
    change->operation.write = import_write;
    change->within = caller_of(request)->permissions;
    change->done = import_answer;
    enum err error = import_submit(import);
    if (!error) return http_pending(request);
    import_done(import);
    return problem_reply_error(request, error, NULL);
}
