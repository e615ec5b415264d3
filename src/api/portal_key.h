/* One key of a visitor's, for the pages that show it and the forms that change it. Loop thread. */
#ifndef KEYMETER_API_PORTAL_KEY_H
#define KEYMETER_API_PORTAL_KEY_H

#include "api/portal.h"
#include "store/key_view.h"
#include "store/tier.h"
#include "store/usage.h"

/* What can be done to a key: the last part of the address. */
struct portal_action {
    const char *name;
    unsigned need;
    const char *title; /* of the page that asks */
};
extern const struct portal_action portal_actions[]; /* ends with a name of NULL */
const struct portal_action *portal_action_find(struct span name);

struct portal_key {
    struct portal_visit visit;
    uint64_t id;
    const struct portal_action *action; /* of the address; NULL: none */
    struct key_view view;
    struct tier_row tier;
    bool claim; /* a link to the next secret waits */
    int64_t claim_at;
    struct usage_series series;
    unsigned char hash[32]; /* of the current secret, when `hashed` */
    bool hashed;
};
/* `size` bytes, which begin with a struct portal_key; id and action by the address, `read` set.
 * NULL: *verdict is the answer. */
struct portal_key *portal_key_new(struct http_request *request, size_t size,
                                  struct verdict *verdict);
/* portal_visit.read of all of them. */
MUST_USE enum err portal_key_read(struct db *db, struct portal_visit *visit);
json_t *portal_key_context(const struct portal_key *key, const char *at);

#endif
