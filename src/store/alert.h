/* Alerts: what an operator should know and act on. One stands open for a kind and subject; raising
 * it again counts. DB thread. */
#ifndef KEYMETER_STORE_ALERT_H
#define KEYMETER_STORE_ALERT_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

#define ALERT_CLOCK_MOVED         "clock_moved"         /* node/<name> */
#define ALERT_ROTATION_POSTPONED  "rotation_postponed"  /* key_… */
#define ALERT_CLAIM_UNCLAIMED     "claim_unclaimed"     /* key_… */
#define ALERT_NOTIFICATION_FAILED "notification_failed" /* ntf_… */
#define ALERT_MAIL_TEMPLATES      "mail_templates"      /* node/<name>, mail/<kind> */
#define ALERT_APPROVAL_ENDING     "approval_ending"     /* cus_… */
#define ALERT_PRICE_UNKNOWN       "price_unknown" /* cus_…: pays a price that is in no tier */

struct alert_row {
    uint64_t id, customer_id; /* customer_id 0: none */
    const char *kind, *subject;
    const char *detail; /* JSON object, never a secret, e-mail or name */
    uint32_t times;
    int64_t created_at, last_at, acknowledged_at; /* acknowledged_at 0: it is open */
    const char *acknowledged_by;                  /* "tok_…" or NULL */
};

/* Makes it, or counts one that stands open. `detail` NULL: {}. */
MUST_USE enum err alert_raise(struct db *db, const char *kind, const char *subject,
                              uint64_t customer_id, const char *detail, int64_t now_ms);
/* What it was about has mended itself: it is acknowledged by `by`. */
MUST_USE enum err alert_settle(struct db *db, const char *kind, const char *subject, const char *by,
                               int64_t now_ms);
MUST_USE enum err alert_is_open(struct db *db, const char *kind, const char *subject, bool *open);
/* *changed false: it was acknowledged already. ERR_NOT_FOUND. */
MUST_USE enum err alert_acknowledge(struct db *db, uint64_t id, const char *by, int64_t now_ms,
                                    bool *changed);
MUST_USE enum err alert_find(struct db *db, uint64_t id, struct arena *arena,
                             struct alert_row *row);
enum alert_which { ALERT_ANY, ALERT_OPEN, ALERT_ACKNOWLEDGED };
/* Newest first, ids below `before` (0: all), at most `limit`. */
MUST_USE enum err alert_list(struct db *db, enum alert_which which, uint64_t before, size_t limit,
                             struct arena *arena, struct alert_row **rows, size_t *count);

#endif
