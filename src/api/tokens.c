/* The token calls. Called by the routing on the loop thread. What always holds: the secret is made
 * on the loop, shown in the one answer that follows its commit, and wiped; only its keyed hash and
 * first 10 characters reach the database. */
#include "api/tokens.h"

#include "api/auth.h"
#include "api/idempotency.h"
#include "api/reading.h"
#include "base/codec.h"
#include "base/json.h"
#include "base/secret.h"
#include "core/api_key.h"
#include "core/permission.h"
#include "crypto/key_hash.h"
#include "service/context.h"
#include "service/operation.h"
#include "store/names.h"

/* ---- writing ---- */

static void token_put(struct buf *out, const struct token_row *row, const struct secret *secret)
{
    json_open(out, NULL, '{');
    json_put_id(out, "id", "tok", row->id);
    json_put_string(out, "name", row->name);
    json_open(out, "scopes", '[');
    for (unsigned bit = 1; bit < SCOPES_ALL; bit <<= 1)
        if (row->scopes & bit) json_put_string(out, NULL, scope_name((enum scope)bit));
    json_close(out, ']');
    if (row->permissions) {
        struct buf list CLEANUP(buf_done) = {0};
        names_to_json(span_text(row->permissions), &list);
        if (list.failed) out->failed = true;
        json_put_raw(out, "permissions", buf_span(&list));
    } else {
        json_put_null(out, "permissions");
    }
    json_put_string(out, "start", row->start);
    json_put_time(out, "created_at", row->created_at);
    json_put_time(out, "expires_at", row->expires_at);
    json_put_time(out, "revoked_at", row->revoked_at);
    if (secret) json_put_text(out, "secret", secret_span(secret));
    json_close(out, '}');
}

/* ---- create ---- */

struct token_create {
    struct operation operation;
    struct token_row row;
    struct secret *secret;
};

static enum err create_run(struct db *db, struct operation *operation)
{
    struct token_create *create = CONTAINER_OF(operation, struct token_create, operation);
    char subject[ID_TEXT_SIZE];
    create->row.created_at = operation->now_ms;
    if (create->row.expires_at && create->row.expires_at <= operation->now_ms) {
        problem_add_field(&operation->problem, "body.expires_at", "must be in the future");
        return ERR_DENIED;
    }
    enum err error = token_insert(db, &create->row);
    if (error != ERR_OK) return error;
    id_format(subject, "tok", create->row.id);
    operation_feed(operation, FEED_TOKEN, create->row.id);
    operation_audit(operation, "token.create", subject, 0, NULL);
    return ERR_OK;
}

static void create_write(struct operation *operation, struct buf *out)
{
    const struct token_create *create = CONTAINER_OF(operation, struct token_create, operation);
    token_put(out, &create->row, create->secret);
}

static void create_done(struct operation *operation, enum err error)
{
    struct token_create *create = CONTAINER_OF(operation, struct token_create, operation);
    struct http_request *request = operation->request;
    struct answer answer = answer_take(operation, error);
    secret_free(&create->secret);
    answer_finish(request, &answer);
}

static void scopes_read(struct fields *fields, unsigned *scopes)
{
    const char *joined = "";
    if (!field_required(fields, "scopes", field_names(fields, "scopes", 6, 16, &joined))) return;
    *scopes = scopes_parse(span_text(joined));
    if (!*scopes)
        field_wrong(fields, "scopes",
                    "must be at least one of: admin, billing, issue, portal, read, verify");
}

/* A token that is held to permissions cannot make one that is not. */
static void permissions_check(struct fields *fields, const struct caller *caller,
                              const struct token_row *row)
{
    if (!caller->permissions) return;
    if (!row->permissions ||
        !permission_all(span_text(caller->permissions), span_text(row->permissions)))
        field_wrong(fields, "permissions", "must be within the permissions of your own token");
}

static bool create_read(struct http_request *request, struct token_row *row,
                        struct problem *problem)
{
    struct body body CLEANUP(body_done) = {0};
    bool good = body_open(&body, request);
    if (good) {
        struct fields *fields = &body.fields;
        row->name = "";
        field_required(fields, "name", field_text(fields, "name", 1, TOKEN_NAME_MAX, &row->name));
        scopes_read(fields, &row->scopes);
        field_names(fields, "permissions", PERMISSIONS_MAX, PERMISSION_MAX, &row->permissions);
        field_time(fields, "expires_at", &row->expires_at);
        permissions_check(fields, caller_of(request), row);
        good = query_only(request, NULL, &body.problem) && body_finish(&body);
    }
    *problem = body.problem;
    return good;
}

/* A new secret in guarded memory; its hash and start in the row. */
static enum err secret_make(struct service *service, struct token_create *create)
{
    create->secret = secret_new(API_KEY_TEXT_SIZE);
    if (!create->secret) return ERR_NO_MEMORY;
    create->secret->length = api_key_make(API_LABEL_TOKEN, create->secret->text);
    key_hash(service->keyring, secret_span(create->secret), create->row.hash);
    api_key_start(secret_span(create->secret), create->row.start);
    create->row.id = id_new();
    return ERR_OK;
}

struct verdict handle_token_create(struct http_request *request)
{
    struct service *service = request_service(request);
    struct problem problem = {0};
    struct token_create *create = ARENA_NEW(&request->arena, struct token_create);
    if (!create) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!create_read(request, &create->row, &problem)) return problem_reply(request, &problem);
    enum err error = secret_make(service, create);
    create->operation.service = service;
    create->operation.request = request;
    create->operation.token_id = caller_of(request)->token_id;
    create->operation.run = create_run;
    create->operation.status = 201;
    create->operation.write = create_write;
    create->operation.done = create_done;
    if (error == ERR_OK) error = operation_submit(&create->operation);
    if (error == ERR_OK) return http_pending(request);
    secret_free(&create->secret);
    return problem_reply_error(request, error, NULL);
}

/* ---- list ---- */

struct tokens_reading {
    struct reading reading;
    struct page page;
    struct token_row *rows;
    size_t count;
};

static enum err tokens_run(struct db *db, struct reading *reading)
{
    struct tokens_reading *tokens = CONTAINER_OF(reading, struct tokens_reading, reading);
    return token_list(db, tokens->page.before, 0, tokens->page.limit + 1, &reading->arena,
                      &tokens->rows, &tokens->count);
}

static void tokens_write(struct reading *reading, struct buf *out)
{
    struct tokens_reading *tokens = CONTAINER_OF(reading, struct tokens_reading, reading);
    bool more = tokens->count > tokens->page.limit;
    size_t shown = more ? tokens->page.limit : tokens->count;
    page_begin(out);
    for (size_t i = 0; i < shown; i++)
        token_put(out, &tokens->rows[i], NULL);
    page_end(out, more ? tokens->rows[shown - 1].id : 0);
}

struct verdict handle_tokens_list(struct http_request *request)
{
    struct problem problem = {0};
    struct tokens_reading *tokens = ARENA_NEW(&request->arena, struct tokens_reading);
    if (!tokens) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!page_read(request, NULL, &tokens->page, &problem)) return problem_reply(request, &problem);
    tokens->reading.run = tokens_run;
    tokens->reading.write = tokens_write;
    return reading_submit(&tokens->reading, request);
}

/* ---- revoke ---- */

struct token_delete {
    struct operation operation;
    uint64_t id;
};

static enum err delete_run(struct db *db, struct operation *operation)
{
    struct token_delete *delete = CONTAINER_OF(operation, struct token_delete, operation);
    char subject[ID_TEXT_SIZE];
    bool changed = false;
    enum err error = token_revoke(db, delete->id, operation->now_ms, &changed);
    if (error == ERR_NOT_FOUND)
        return problem_set(&operation->problem, 404, "not_found", "There is no such token.");
    if (error != ERR_OK || !changed) return error;
    id_format(subject, "tok", delete->id);
    operation_feed(operation, FEED_TOKEN, delete->id);
    operation_audit(operation, "token.revoke", subject, 0, NULL);
    return ERR_OK;
}

static void delete_done(struct operation *operation, enum err error)
{
    if (error != ERR_OK)
        problem_finish_error(operation->request, error, &operation->problem);
    else
        finish_empty(operation->request, 204);
}

struct verdict handle_token_delete(struct http_request *request)
{
    struct problem problem = {0};
    struct token_delete *delete = ARENA_NEW(&request->arena, struct token_delete);
    if (!delete) return problem_reply_error(request, ERR_NO_MEMORY, NULL);
    if (!path_id(request, 0, "tok", &delete->id)) return problem_reply_not_found(request, "token");
    if (!query_only(request, NULL, &problem)) return problem_reply(request, &problem);
    delete->operation.service = request_service(request);
    delete->operation.request = request;
    delete->operation.token_id = caller_of(request)->token_id;
    delete->operation.run = delete_run;
    delete->operation.done = delete_done;
    enum err error = operation_submit(&delete->operation);
    if (error != ERR_OK) return problem_reply_error(request, error, NULL);
    return http_pending(request);
}
