/* Handing operations to the committer and noting what they changed.
 *
 * operation_submit is called by handlers on the loop, the noting functions by an operation's `run`
 * on the committer's thread. An operation that appends more rows than fit has a bug that must not
 * commit: the count then passes the maximum, which the committer refuses. */
#include "service/operation.h"

#include "base/clock.h"
#include "base/codec.h"
#include "io/http.h"
#include "service/admin_standing.h"
#include "service/client_address.h"
#include "service/context.h"
#include "service/idempotency.h"

#include <stdio.h>
#include <string.h>

static void operation_finished(struct db_job *job, enum err error)
{
    struct operation *operation = CONTAINER_OF(job, struct operation, job);
    operation->done(operation, error);
}

static void text_copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

enum err operation_submit(struct operation *operation)
{
    const struct http_request *request = operation->request;
    if (operation->token_id)
        id_format(operation->actor, "tok", operation->token_id);
    else if (!operation->actor[0])
        text_copy(operation->actor, sizeof operation->actor,
                  request && request->actor ? request->actor : "system");
    operation->request_id[0] = '\0';
    if (request) {
        struct address client = client_address(request);
        address_format(&client, operation->address);
        text_copy(operation->request_id, sizeof operation->request_id, request->request_id);
    }
    if (request && request->standing && !operation->admit) {
        operation->admit = admin_standing_admit;
        operation->admit_context = request->standing;
    }
    operation->reservation = reservation_of(request);
    operation->job.run = NULL;
    operation->job.done = operation_finished;
    return db_submit(operation->service->committer, &operation->job);
}

static struct feed_row *feed_next(struct operation *operation, enum feed_kind kind,
                                  uint64_t subject)
{
    if (operation->feed_count >= OPERATION_FEED_MAX) {
        operation->feed_count = OPERATION_FEED_MAX + 1;
        return NULL;
    }
    struct feed_row *row = &operation->feed[operation->feed_count++];
    *row = (struct feed_row){.kind = kind, .subject = subject};
    return row;
}

void operation_feed(struct operation *operation, enum feed_kind kind, uint64_t subject)
{
    feed_next(operation, kind, subject);
}

void operation_feed_hash(struct operation *operation, uint64_t key_id, const unsigned char hash[32])
{
    struct feed_row *row = feed_next(operation, FEED_HASH, key_id);
    if (!row) return;
    row->has_hash = true;
    memcpy(row->hash, hash, sizeof row->hash);
}

void operation_feed_import(struct operation *operation, uint64_t key_id, bool new_source)
{
    struct feed_row *row = feed_next(operation, FEED_IMPORT, key_id);
    if (row && new_source) text_copy(row->slug, sizeof row->slug, "source");
}

void operation_feed_tier(struct operation *operation, const char *slug)
{
    struct feed_row *row = feed_next(operation, FEED_TIER, 0);
    if (row) text_copy(row->slug, sizeof row->slug, slug);
}

void operation_audit(struct operation *operation, const char *action, const char *subject,
                     uint64_t customer_id, const char *detail)
{
    if (operation->audit_count >= OPERATION_AUDIT_MAX) {
        operation->audit_count = OPERATION_AUDIT_MAX + 1;
        return;
    }
    struct audit_row *row = &operation->audit[operation->audit_count++];
    *row = (struct audit_row){
        .id = id_new(), .at = operation->now_ms, .customer_id = customer_id, .detail = detail};
    text_copy(row->actor, sizeof row->actor, operation->actor);
    text_copy(row->action, sizeof row->action, action);
    text_copy(row->subject, sizeof row->subject, subject);
    text_copy(row->address, sizeof row->address, operation->address);
    text_copy(row->request_id, sizeof row->request_id, operation->request_id);
}
