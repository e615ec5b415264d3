/* The steps of rotations (core/rotation.h says what they are). DB thread; what writes runs inside
 * an explicit transaction, under the key's lock where it says so. Lock order: customer, key,
 * rotation, claim, outbox. */
#ifndef KEYMETER_STORE_ROTATION_H
#define KEYMETER_STORE_ROTATION_H

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "core/rotation.h"

#include <stddef.h>

struct db;

struct rotation_row {
    uint64_t key_id;
    uint32_t generation;
    int step; /* enum rotation_step, or ROTATION_REMIND + n */
    enum rotation_status status;
    uint32_t number;
    int64_t due_at, look_at; /* 0: none */
    uint64_t waits_for;      /* an outbox id; 0: nothing */
    int64_t waited_at, used_at, done_at, created_at;
};

/* Makes the rows, or replaces what stands for their key, generation and step. Under the keys'
 * locks. */
MUST_USE enum err rotation_put(struct db *db, const struct rotation_row *rows, size_t count);
/* Locks the row while it is pending. ERR_NOT_FOUND: it is done, or was replaced. */
MUST_USE enum err rotation_lock(struct db *db, uint64_t key_id, uint32_t generation, int step,
                                struct rotation_row *row);
/* The row, done or pending; locks it. */
MUST_USE enum err rotation_lock_any(struct db *db, uint64_t key_id, uint32_t generation, int step,
                                    struct rotation_row *row);
MUST_USE enum err rotation_remove(struct db *db, const struct rotation_row *row);
/* The pending notice, rotation or retirement of the newest generation that has one; locks it. */
MUST_USE enum err rotation_lock_main(struct db *db, uint64_t key_id, struct rotation_row *row);
/* The same for an older secret's retirement, whatever its generation. */
MUST_USE enum err rotation_lock_retirement(struct db *db, uint64_t key_id,
                                           struct rotation_row *row);
/* Writes status, number, times and what it waits for. */
MUST_USE enum err rotation_update(struct db *db, const struct rotation_row *row);
/* What is pending goes: all of it; all but the notice of the key's own end; only notice and
 * rotation; only the reminders. */
enum rotation_drop {
    ROTATION_DROP_ALL,
    ROTATION_DROP_SECRETS,
    ROTATION_DROP_BEFORE,
    ROTATION_DROP_REMINDERS
};
MUST_USE enum err rotation_drop(struct db *db, uint64_t key_id, enum rotation_drop what);
/* All of a customer's keys: pending steps, links and mails. */
MUST_USE enum err rotation_erase(struct db *db, uint64_t customer_id, int64_t now_ms);
/* The mail was accepted: what waits for it knows since when. */
MUST_USE enum err rotation_accepted(struct db *db, uint64_t key_id, uint64_t mail_id,
                                    int64_t accepted_at);

/* ---- for the scheduler, without locks ---- */
struct rotation_pick {
    uint64_t key_id, customer_id;
    uint32_t generation;
    int step;
    int64_t look_at; /* since when it is due; by rotation_pick */
    int64_t used_at; /* by rotation_pick_used */
};
/* Steps to be looked at, oldest first. */
MUST_USE enum err rotation_pick(struct db *db, int64_t now_ms, struct rotation_pick *out,
                                size_t capacity, size_t *count);
/* Retirements whose next secret has been used, among `looked` pending ones behind *cursor, which
 * moves on and begins anew at the end. */
MUST_USE enum err rotation_pick_used(struct db *db, uint64_t *cursor, size_t looked,
                                     struct rotation_pick *out, size_t *count);
MUST_USE enum err rotation_waiting(struct db *db, int64_t now_ms, uint64_t at_most,
                                   uint64_t *count);

/* ---- the two secrets of an overlap ---- */
struct rotation_secret {
    bool there;
    char start[11];
    int64_t created_at, expires_at, last_used_at;
};
/* The generation's secret and the next one. */
MUST_USE enum err rotation_secrets(struct db *db, uint64_t key_id, uint32_t generation,
                                   struct rotation_secret *old, struct rotation_secret *next);

/* ---- a page of keys, whose locks are held; ascending by key_id, each key once ---- */
enum { ROTATION_STATES_MAX = 256 };
struct rotation_state {
    uint64_t key_id; /* what is asked for */
    uint32_t generation;
    int step;
    bool pending; /* the step's row, locked */
    struct rotation_row row;
    struct rotation_row retirement; /* of that generation, if it is pending: key_id 0: it is not */
    uint32_t secret; /* the version whose life it is: set before its secrets are read */
    struct rotation_secret old, next; /* that one and the one behind it */
    int64_t last_end;                 /* the latest end of any secret of the key; 0: none has one */
};
/* Locks what is pending of the keys. */
MUST_USE enum err rotation_states_lock(struct db *db, struct rotation_state *states, size_t count);
MUST_USE enum err rotation_states_secrets(struct db *db, struct rotation_state *states,
                                          size_t count);

/* ---- lists ---- */
struct rotation_view {
    uint64_t id, customer_id;
    struct rotation_row row;
};
struct rotation_filter {
    enum rotation_status status; /* HIDDEN: any but that */
    uint64_t before;             /* ids below it; 0: from the newest */
    size_t limit;
};
MUST_USE enum err rotation_list(struct db *db, const struct rotation_filter *filter,
                                struct arena *arena, struct rotation_view **out, size_t *count);

#endif
