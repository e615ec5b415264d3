/* What changes of a key do to the steps of its rotation: the rows that a new secret begins with,
 * and what becomes of those that were pending. On the committer's thread, under the key's lock. */
#ifndef KEYMETER_SERVICE_ROTATION_ROWS_H
#define KEYMETER_SERVICE_ROTATION_ROWS_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct api_key_row;
struct db;
struct rotation_row;
struct tier;

/* The row of the current secret's notice; false: it does not rotate by itself. */
MUST_USE bool rotation_rows_notice(const struct api_key_row *row, const struct tier *tier,
                                   int64_t issued_at, struct rotation_row *notice);
/* The current secret's life begins: its notice is scheduled, if row->rotates_at says so. */
MUST_USE enum err rotation_rows_begin(struct db *db, const struct api_key_row *row,
                                      const struct tier *tier, int64_t issued_at);
/* The first reminder, a day from now, of a link to what follows row->secret_version, of which
 * `made` were made before: those had reminders with the numbers below. */
void rotation_rows_reminder(const struct api_key_row *row, uint32_t made, int64_t now_ms,
                            struct rotation_row *reminder);
/* The notice before the key's own end, anew for each expires_at; none without one. */
MUST_USE enum err rotation_rows_expiry(struct db *db, const struct api_key_row *row,
                                       const struct tier *tier, int64_t now_ms);
/* An admin's rotation: pending notice, rotation and link are void, the former secret is retired at
 * ends_at. row->secret_version is the new one's already. */
MUST_USE enum err rotation_rows_replace(struct db *db, const struct api_key_row *row,
                                        int64_t ends_at, int64_t now_ms);
/* Regenerated, revoked: nothing is pending any more. */
MUST_USE enum err rotation_rows_end(struct db *db, const struct api_key_row *row, int64_t now_ms);
/* The overlap was ended by hand: its retirement is done. */
MUST_USE enum err rotation_rows_retired(struct db *db, const struct api_key_row *row,
                                        int64_t now_ms);

#endif
