/* Visits to the customer portal: links, sessions, and the forms that were sent in them. DB thread.
 */
#ifndef KEYMETER_STORE_PORTAL_H
#define KEYMETER_STORE_PORTAL_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;

/* What a visitor may do beyond looking; a mask. */
enum portal_may {
    PORTAL_CREATE_KEYS = 1,
    PORTAL_ROTATE_KEYS = 2,  /* regenerate, rotate, end an overlap */
    PORTAL_DISABLE_KEYS = 4, /* and enable */
    PORTAL_REVOKE_KEYS = 8,
    PORTAL_EDIT_ENCRYPTION = 16,
    PORTAL_EDIT_KEYS = 32, /* title, networks, tighter limits */
};
enum { PORTAL_MAY_ALL = 63, PORTAL_MAY_COUNT = 6, PORTAL_FORM_SIZE = 16 };
/* "create_keys" … by their bit's number. */
extern const char *const portal_may_names[PORTAL_MAY_COUNT + 1];
/* False: an unknown word. */
MUST_USE bool portal_may_parse(const char *joined, unsigned *may);

struct portal_session {
    uint64_t id, customer_id;
    unsigned char link_hash[32];
    unsigned may;
    const char *within; /* comma-joined permissions; NULL: any of the tier */
    const char *created_by;
    int64_t created_at, opened_at, ends_at; /* wall ms; 0: none */
};

MUST_USE enum err portal_insert(struct db *db, const struct portal_session *row);
/* By the link, without a lock; also one that was opened or has ended. ERR_NOT_FOUND. */
MUST_USE enum err portal_find_link(struct db *db, const unsigned char link_hash[32],
                                   struct portal_session *row);
/* The link becomes a session until ends_at. ERR_NOT_FOUND: it was opened, or has ended. */
MUST_USE enum err portal_open(struct db *db, const unsigned char link_hash[32],
                              const unsigned char hash[32], int64_t now_ms, int64_t ends_at);
/* Notes the customer's first visit; *first tells whether this is it. Under the customer's lock. */
MUST_USE enum err portal_note_first(struct db *db, uint64_t customer_id, int64_t now_ms,
                                    bool *first);
/* The live session of a living customer. ERR_NOT_FOUND. `lock`: it cannot end before the
 * transaction does. */
MUST_USE enum err portal_find(struct db *db, const unsigned char hash[32], int64_t now_ms,
                              bool lock, struct arena *arena, struct portal_session *row);
MUST_USE enum err portal_end(struct db *db, uint64_t id, int64_t now_ms);
/* All visits of the customer, and links that were not opened yet. */
MUST_USE enum err portal_end_all(struct db *db, uint64_t customer_id, int64_t now_ms);
/* ERR_EXISTS: the form has been sent before. */
MUST_USE enum err portal_form_once(struct db *db, uint64_t session_id,
                                   const unsigned char form[PORTAL_FORM_SIZE]);
/* The lookup hash of the key's current secret, if it was made here. ERR_NOT_FOUND. */
MUST_USE enum err portal_key_hash(struct db *db, uint64_t key_id, const char *algorithm,
                                  const char *pepper_id, unsigned char hash[32]);

#endif
