/* The change feed and the audit chain: what every management transaction appends last.
 *
 * Both heads live in one row, feed_head, locked last of all (lock order: customer, key, rotation,
 * outbox, feed, audit), so positions are dense and in commit order. Every node reads the feed
 * before it answers a batch of calls; a row says what may have changed, never what it is now. DB
 * thread, inside an explicit transaction. */
#ifndef KEYMETER_STORE_FEED_H
#define KEYMETER_STORE_FEED_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

enum feed_kind {
    FEED_START = 0,    /* the schema's first row */
    FEED_KEY = 1,      /* subject: key id. Its row, secrets or status changed */
    FEED_CUSTOMER = 2, /* subject: customer id. Its row or entitlement changed: all its keys */
    FEED_TIER = 3,     /* slug */
    FEED_TOKEN = 4,    /* subject: token id */
    FEED_HASH = 5,     /* subject: key id, hash: a lookup hash that now exists */
    FEED_ASK = 6,      /* subject: budget subject, slug: "kind:period_start:node:incarnation" of who
                        * asks; the others hand back units */
    FEED_CLEAR = 7,    /* the same, slug: "kind:period_start"; units came back: a kept
                        * QUOTA_EXCEEDED is void */
    FEED_FENCE = 8,    /* subject: node id << 32 | incarnation */
    FEED_IMPORT = 9,   /* subject: key id, imported; slug "source": by a source that is new */
};

struct feed_row {
    enum feed_kind kind;
    uint64_t subject;
    bool has_hash;
    unsigned char hash[32];
    char slug[41]; /* empty: NULL */
};

struct audit_row {
    uint64_t id; /* id_new() */
    int64_t at;  /* wall ms */
    char actor[64], action[64], subject[64], address[46], request_id[65];
    uint64_t customer_id; /* 0: none */
    const char *detail;   /* JSON object text, no secrets or personal data; NULL: {} */
};

/* Locks feed_head, appends the rows, moves both heads. *first_position (may be NULL) gets the
 * position of rows[0] and *tag its random tag, by which an unknown outcome is resolved. */
MUST_USE enum err feed_append(struct db *db, int64_t now_ms, const struct feed_row *rows,
                              size_t row_count, const struct audit_row *audits, size_t audit_count,
                              uint64_t *first_position, uint64_t *tag);

/* Whether the row of that position and tag is there: what became of a lost commit. Outside a
 * transaction, after store/outcome.h has ended the lost connection. */
MUST_USE enum err feed_find(struct db *db, uint64_t position, uint64_t tag, bool *found);
/* The same by the id of an audit row, where no row of the feed was appended. */
MUST_USE enum err feed_find_audit(struct db *db, uint64_t id, bool *found);

#endif
