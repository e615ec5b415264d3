/* A key's status, derived from facts: it is never stored. Pure. */
#ifndef KEYMETER_CORE_KEY_STATUS_H
#define KEYMETER_CORE_KEY_STATUS_H

#include "base/compiler.h"
#include "base/span.h"

#include <stdint.h>

enum key_status {
    KEY_ACTIVE,
    KEY_ROTATING, /* an older secret still works beside the current one */
    KEY_EXPIRED,
    KEY_DISABLED,
    KEY_SUSPENDED,
    KEY_REVOKED,
};
enum { KEY_STATUS_COUNT = KEY_REVOKED + 1 };

struct key_facts {
    bool revoked, suspended, disabled; /* suspended: the key's own or its customer's */
    int64_t expires_at;                /* wall ms; 0: never */
    int64_t overlap_until;             /* latest end of an older secret, wall ms; 0: none */
};

/* The first that holds: revoked, suspended, disabled, expired, rotating, active. Something that
 * ends at t has ended when now >= t. */
enum key_status key_status(const struct key_facts *facts, int64_t now_ms);
/* True for active and rotating. */
bool key_status_works(enum key_status status);
const char *key_status_name(enum key_status status); /* "active" */
MUST_USE bool key_status_parse(struct span word, enum key_status *status);

#endif
