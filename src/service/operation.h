/* A management operation: one use case, one transaction, committed together with others.
 *
 * A handler makes one in the request's arena (or malloc), submits it to service->committer with
 * operation_submit, and returns http_pending. `run` does its SQL on the committer's thread between
 * savepoints; it may be run again after a rollback, so it starts from its input each time and
 * writes its results over. It adds what changed with operation_feed and operation_audit. ERR_DENIED
 * with `problem` set rolls back to the savepoint and denies only this operation. `done` is called
 * on the loop when the commit is durable (ERR_OK) or it came to nothing. */
#ifndef KEYMETER_SERVICE_OPERATION_H
#define KEYMETER_SERVICE_OPERATION_H

#include "base/buf.h"
#include "io/db_pool.h"
#include "service/problem.h"
#include "store/feed.h"

struct gathered;
struct http_request;
struct reservation;
struct service;

enum { OPERATION_FEED_MAX = 32, OPERATION_AUDIT_MAX = 4 };

struct operation {
    struct db_job job;
    struct service *service;
    struct http_request *request;
    uint64_t token_id; /* the caller's service token, checked again in the transaction; 0: none */
    struct problem problem;
    /* NULL, or looks in the transaction, before `run`, whether who asks still may: a page's visitor
     * whose session is in admit_context; that of an admin is set by operation_submit. Not with
     * run_many. */
    enum err (*admit)(struct db *db, struct operation *operation);
    const void *admit_context;
    enum err (*run)(struct db *db, struct operation *operation);
    /* In place of `run`, of jobs that come in numbers: does all of them, which have the same
     * run_many, in few statements. It sets the job.error of each, and has written nothing for one
     * that it gives an error; an error that it returns undoes all of them, and they are tried again
     * by halves. Without token and reservation. */
    enum err (*run_many)(struct db *db, struct operation **operations, size_t count);
    /* `run` leaves rows of new keys in `gathered`, as its last act, and reads none of their tables
     * but by api_key_count and new_keys_of: they are written together with those of others. */
    bool gathers;
    /* NULL, or for those that gather: reads into `gathered` what `run` of each would read by
     * itself, for `count` of a kind that come without one between them that does not gather. `run`
     * does with what it finds there, and without it. */
    enum err (*read_ahead)(struct db *db, struct operation **operations, size_t count);
    struct gathered *gathered; /* the batch's, set at each run; for those that gather */
    void (*done)(struct operation *operation, enum err error);
    /* Of calls that take an Idempotency-Key (service/idempotency.h): the answer of success, written
     * behind `run` in its transaction, so from the committer's thread. `done` then answers with
     * `answer`, which is empty without such a key; both may hold a secret: wipe. */
    int status;
    void (*write)(struct operation *operation, struct buf *out);
    struct buf answer;
    struct reservation *reservation; /* NULL: none */
    int64_t now_ms;                  /* set at each run */
    /* noted by operation_submit for the audit rows, so that the thread need not read the request;
     * the client's address, as trusted proxies tell it; an actor that is set stays, if there is no
     * token: */
    char actor[64], address[46], request_id[65];
    /* filled by run, written by the committer: */
    struct feed_row feed[OPERATION_FEED_MAX];
    size_t feed_count;
    struct audit_row audit[OPERATION_AUDIT_MAX];
    size_t audit_count;
};

/* ERR_FULL: answer 503 with Retry-After; done will not be called. Loop thread. */
MUST_USE enum err operation_submit(struct operation *operation);

/* From run: */
void operation_feed(struct operation *operation, enum feed_kind kind, uint64_t subject);
void operation_feed_hash(struct operation *operation, uint64_t key_id,
                         const unsigned char hash[32]);
/* new_source: by a source of hashes that the nodes have to read. */
void operation_feed_import(struct operation *operation, uint64_t key_id, bool new_source);
void operation_feed_tier(struct operation *operation, const char *slug);
/* detail: JSON object text that lives until done, or NULL. */
void operation_audit(struct operation *operation, const char *action, const char *subject,
                     uint64_t customer_id, const char *detail);

#endif
