/* A key's status from its facts: by the meter for every call, by the store for lists. */
#include "core/key_status.h"

static const char *const names[KEY_STATUS_COUNT] = {
    [KEY_ACTIVE] = "active",     [KEY_ROTATING] = "rotating",   [KEY_EXPIRED] = "expired",
    [KEY_DISABLED] = "disabled", [KEY_SUSPENDED] = "suspended", [KEY_REVOKED] = "revoked",
};

enum key_status key_status(const struct key_facts *facts, int64_t now_ms)
{
    if (facts->revoked) return KEY_REVOKED;
    if (facts->suspended) return KEY_SUSPENDED;
    if (facts->disabled) return KEY_DISABLED;
    if (facts->expires_at && now_ms >= facts->expires_at) return KEY_EXPIRED;
    if (facts->overlap_until && now_ms < facts->overlap_until) return KEY_ROTATING;
    return KEY_ACTIVE;
}

bool key_status_works(enum key_status status)
{
    return status == KEY_ACTIVE || status == KEY_ROTATING;
}

const char *key_status_name(enum key_status status)
{
    return names[status];
}

bool key_status_parse(struct span word, enum key_status *status)
{
    for (unsigned i = 0; i < KEY_STATUS_COUNT; i++) {
        if (!span_is(word, names[i])) continue;
        *status = (enum key_status)i;
        return true;
    }
    return false;
}
