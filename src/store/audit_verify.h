/* Whether the audit log's chain holds: rows without gaps, each hash over the one before it, the
 * last one the head's. DB thread. */
#ifndef KEYMETER_STORE_AUDIT_VERIFY_H
#define KEYMETER_STORE_AUDIT_VERIFY_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdint.h>

struct db;

struct audit_verdict {
    uint64_t first, last;  /* sequences that were looked at; last 0: the log is empty */
    uint64_t broken_at;    /* the first that does not fit; 0: all do */
    const char *broken_by; /* "a row is missing", a literal; NULL: nothing */
};

/* The newest `most` rows; 0: all. Outside a transaction; what is appended meanwhile is not looked
 * at. */
MUST_USE enum err audit_verify(struct db *db, uint64_t most, struct audit_verdict *verdict);

#endif
