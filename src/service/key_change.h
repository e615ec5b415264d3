/* What every operation on one key shares: it locks the key, changes it, and answers with the key as
 * it stands then, and with a secret when one was made. Embedded first in the operation of each use
 * case (issue, key_edit, rotate), which lives in the request's arena. */
#ifndef KEYMETER_SERVICE_KEY_CHANGE_H
#define KEYMETER_SERVICE_KEY_CHANGE_H

#include "base/secret.h"
#include "service/delivery.h"
#include "service/operation.h"
#include "store/key_view.h"

struct key_change {
    struct operation operation; /* the caller sets service, request, token_id */
    uint64_t key_id;
    uint64_t customer_id;     /* 0: any; a key of another one is none */
    const char *within;       /* permissions of the caller's token; NULL: any */
    bool reduces;             /* takes away only: allowed whatever the key may do */
    struct delivery delivery; /* by_mail: the caller's */
    /* Loop; after it, key_change_done. */
    void (*done)(struct key_change *change, enum err error);
    /* results of ERR_OK: */
    struct key_view view;
    struct secret *secret; /* NULL: none was made */
    /* its own: */
    /* NULL, or on a reader's thread, before the operation, when delivery.by_mail. */
    enum err (*prepare)(struct db *db, struct key_change *change);
    enum err (*apply)(struct db *db, struct key_change *change, struct api_key_row *row);
    const char *action; /* of the audit row; NULL: nothing changed */
    struct arena arena;
    struct db_job count_job;
    uint64_t counted; /* units used right before, in the period of that start; kept answers only */
    int64_t counted_start;
};

/* Sends it to the committer. ERR_FULL, ERR_CLOSED: done will not be called; key_change_done then
 * too. */
MUST_USE enum err key_change_submit(struct key_change *change);
/* Wipes the secret and frees what the view stands in. */
void key_change_done(struct key_change *change);

/* ---- for the use cases, on the committer's thread ---- */
/* An operation's run: locks, applies, saves, writes feed and audit, loads the view. */
enum err key_change_run(struct db *db, struct operation *operation);
/* An operation's done: counts the usage exactly (best effort), then calls change->done. */
void key_change_finish(struct operation *operation, enum err error);

/* A new secret of row->secret_version, its row, its hash and its feed row. *secret replaces (and
 * wipes) what an earlier run left there. */
MUST_USE enum err key_change_mint(struct db *db, struct operation *operation,
                                  const struct api_key_row *row, struct key_secret_row *made,
                                  struct secret **secret);
/* The same but for the rows of the secret and its hash, which *made is for. */
MUST_USE enum err key_change_make(struct operation *operation, const struct api_key_row *row,
                                  struct key_secret_row *made, struct secret **secret);
/* The row of a secret that was made before, which is to be inserted, and its feed row. */
void key_change_secret(struct operation *operation, const struct api_key_row *row,
                       const struct secret *secret, struct key_secret_row *made);
/* The same for a secret that was made before: its row, its hash and its feed row. */
MUST_USE enum err key_change_add(struct db *db, struct operation *operation,
                                 const struct api_key_row *row, const struct secret *secret,
                                 struct key_secret_row *made);
/* 409 key_revoked when it is. */
MUST_USE enum err key_change_refuse_revoked(struct operation *operation,
                                            const struct api_key_row *row);
/* The tier of the key's customer; ERR_NOT_FOUND when there is none. */
struct tier_row;
MUST_USE enum err key_change_tier(struct db *db, uint64_t customer_id, struct arena *arena,
                                  struct tier_row *tier);

#endif
