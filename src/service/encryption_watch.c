/* The watch over encryption keys' ends. A look picks customers without locks on a reader's thread;
 * then each is an operation of the committer, which looks again under the customer's lock. What
 * always holds: one look is under way at a time, and a mail is queued in the transaction that notes
 * that its end has been told. */
#include "service/encryption_watch.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "core/period.h"
#include "io/loop.h"
#include "service/context.h"
#include "service/notice.h"
#include "service/operation.h"
#include "store/customer.h"
#include "store/customer_keys.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 10 * 1000, PAGE = 64, FINGERPRINT_TEXT_SIZE = 2 * MAIL_KEY_FINGERPRINT_SIZE };

struct telling {
    struct operation operation;
    struct encryption_watch *watch;
    uint64_t customer_id;
};

struct encryption_watch {
    struct service *service;
    struct loop_timer *timer;
    struct db_job job;
    uint64_t ids[PAGE];
    size_t count, under_way;
    bool looking;
};

/* ---- the operation ---- */

/* As people compare it: capitals, in fours. */
static void fingerprint_show(const char *hex, char out[FINGERPRINT_TEXT_SIZE])
{
    size_t used = 0;
    for (size_t i = 0; hex[i] && used + 2 < FINGERPRINT_TEXT_SIZE; i++) {
        if (i && i % 4 == 0) out[used++] = ' ';
        out[used++] = (char)toupper((unsigned char)hex[i]);
    }
    out[used] = '\0';
}

static enum err tell(struct db *db, struct operation *operation,
                     const struct customer_row *customer, const struct customer_key *key,
                     enum mail_key_kind kind)
{
    char shown[FINGERPRINT_TEXT_SIZE];
    struct notice notice CLEANUP(notice_done) = {.kind = "encryption_key_expiring",
                                                 .customer = customer,
                                                 .generation = (uint32_t)(key->ends_at / DAY_MS),
                                                 .number = (uint32_t)kind};
    struct buf *out = &notice.context;
    fingerprint_show(key->fingerprint, shown);
    json_open(out, NULL, '{');
    json_put_bool(out, "openpgp", kind == MAIL_KEY_OPENPGP);
    json_put_bool(out, "smime", kind == MAIL_KEY_SMIME);
    json_put_string(out, "fingerprint", shown);
    json_put_i64(out, "expires_at", key->ends_at);
    enum err error = notice_queue(db, operation, &notice, NULL);
    /* No address, or told before: a key that was set again. */
    return error == ERR_NOT_FOUND || error == ERR_EXISTS ? ERR_OK : error;
}

static enum err telling_run(struct db *db, struct operation *operation)
{
    struct telling *telling = CONTAINER_OF(operation, struct telling, operation);
    struct arena arena CLEANUP(arena_done) = {0};
    struct customer_row customer;
    struct customer_keys keys;
    int64_t now_ms = operation->now_ms;
    size_t found = 0;
    enum err error = customer_try_lock(db, &telling->customer_id, 1, &arena, &customer, &found);
    if (!error && !found) error = ERR_NOT_FOUND;
    if (!error) error = customer_keys_ends(db, customer.id, &arena, &keys);
    for (unsigned kind = 0; kind < MAIL_KEY_KINDS && !error; kind++) {
        const struct customer_key *key = &keys.of[kind];
        int64_t tell_at = customer_key_tell_at(key);
        if (key->fingerprint && tell_at && tell_at <= now_ms && key->ends_at > now_ms)
            error = tell(db, operation, &customer, key, (enum mail_key_kind)kind);
    }
    return error ? error : customer_keys_told(db, customer.id, &keys, now_ms);
}

static void telling_done(struct operation *operation, enum err error)
{
    struct telling *telling = CONTAINER_OF(operation, struct telling, operation);
    struct encryption_watch *watch = telling->watch;
    if (error && error != ERR_NOT_FOUND && error != ERR_CLOSED)
        log_event(LOG_WARN, "encryption_watch_failed", "%s", err_name(error));
    free(telling);
    if (--watch->under_way == 0) watch->looking = false;
}

/* ---- the look ---- */

static enum err look_run(struct db *db, struct db_job *job)
{
    struct encryption_watch *watch = CONTAINER_OF(job, struct encryption_watch, job);
    return customer_keys_pick(db, clock_wall_ms(), PAGE, watch->ids, &watch->count);
}

static void look_done(struct db_job *job, enum err error)
{
    struct encryption_watch *watch = CONTAINER_OF(job, struct encryption_watch, job);
    watch->under_way = 1; /* until all are submitted */
    for (size_t i = 0; !error && i < watch->count; i++) {
        struct telling *telling = calloc(1, sizeof *telling);
        if (!telling) break;
        telling->watch = watch;
        telling->customer_id = watch->ids[i];
        telling->operation.service = watch->service;
        telling->operation.run = telling_run;
        telling->operation.done = telling_done;
        if (operation_submit(&telling->operation) == ERR_OK)
            watch->under_way++;
        else
            free(telling);
    }
    if (--watch->under_way == 0) watch->looking = false;
}

static void on_timer(void *context)
{
    struct encryption_watch *watch = context;
    if (watch->looking) return;
    watch->job = (struct db_job){.run = look_run, .done = look_done};
    watch->count = 0;
    watch->looking = db_submit(watch->service->readers, &watch->job) == ERR_OK;
}

enum err encryption_watch_new(struct encryption_watch **out, struct service *service)
{
    struct encryption_watch *watch = calloc(1, sizeof *watch);
    *out = NULL;
    if (!watch) return ERR_NO_MEMORY;
    watch->service = service;
    enum err error = loop_timer_new(&watch->timer, service->loop, on_timer, watch);
    if (error) {
        free(watch);
        return error;
    }
    loop_timer_start(watch->timer, LOOK_MS, LOOK_MS);
    *out = watch;
    return ERR_OK;
}

void encryption_watch_stop(struct encryption_watch *watch)
{
    if (watch) loop_timer_free(&watch->timer);
}

void encryption_watch_free(struct encryption_watch **watch)
{
    free(*watch);
    *watch = NULL;
}
