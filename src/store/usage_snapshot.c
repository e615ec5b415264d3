/* Exact usage over folded and unfolded rows. Called by jobs of service->readers: usage calls, and
 * the key and customer objects; DB thread. What always holds: the snapshot is one, so a unit is
 * counted once, whether the fold has reached it or not. */
#include "store/usage_snapshot.h"

#include "core/period.h"
#include "io/db.h"

enum { OWNERS_MAX = 1024, ROWS_A_PIECE = 128 };

enum err usage_snapshot_begin(struct db *db)
{
    enum err error = db_command(db, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
    if (error != ERR_OK) return error;
    return db_command(db, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY");
}

void usage_snapshot_end(struct db *db)
{
    db_rollback(db);
}

/* ---- the journal ---- */

struct owner {
    uint64_t node, incarnation, folded;
};

/* Only those that have unfolded rows: a dead incarnation's last row stays for ever. */
static enum err owners_read(struct db *db, struct owner *owners, size_t *count)
{
    struct db_rows rows;
    enum err error =
        db_query(db,
                 "SELECT j.node, j.incarnation, COALESCE(f.folded, 0) FROM (SELECT DISTINCT node, "
                 "incarnation FROM meter_journal) j LEFT JOIN fold_owner f ON f.node = j.node AND "
                 "f.incarnation = j.incarnation WHERE EXISTS (SELECT 1 FROM meter_journal m WHERE "
                 "m.node = j.node AND m.incarnation = j.incarnation AND m.seq > "
                 "COALESCE(f.folded, 0))",
                 DB_NONE, &rows);
    if (error != ERR_OK) return error;
    *count = 0;
    while (db_next(&rows)) {
        if (*count == OWNERS_MAX) {
            db_finish(&rows);
            return ERR_DB;
        }
        owners[(*count)++] =
            (struct owner){db_get_u64(&rows, 0), db_get_u64(&rows, 1), db_get_u64(&rows, 2)};
    }
    return ERR_OK;
}

/* A payload that cannot be read counts nothing, as in the fold. */
static void payload_each(struct span payload,
                         void (*each)(const struct journal_entry *entry, void *context),
                         void *context)
{
    struct journal_reader reader;
    struct journal_entry entry;
    if (journal_decode_init(&reader, payload) != ERR_OK) return;
    while (journal_decode_next(&reader, &entry) == ERR_OK)
        each(&entry, context);
}

static enum err owner_each(struct db *db, const struct owner *owner,
                           void (*each)(const struct journal_entry *entry, void *context),
                           void *context)
{
    uint64_t seq = owner->folded;
    for (size_t got = ROWS_A_PIECE; got == ROWS_A_PIECE;) {
        struct db_rows rows;
        enum err error = db_query(
            db,
            "SELECT seq, payload FROM meter_journal WHERE node = ? AND incarnation = ? AND seq > ? "
            "ORDER BY seq LIMIT 128",
            DB_VALUES(db_u64(owner->node), db_u64(owner->incarnation), db_u64(seq)), &rows);
        if (error != ERR_OK) return error;
        for (got = 0; db_next(&rows); got++) {
            seq = db_get_u64(&rows, 0);
            payload_each(db_get_span(&rows, 1), each, context);
        }
    }
    return ERR_OK;
}

enum err usage_unfolded_each(struct db *db,
                             void (*each)(const struct journal_entry *entry, void *context),
                             void *context)
{
    struct owner owners[OWNERS_MAX];
    size_t count;
    enum err error = owners_read(db, owners, &count);
    for (size_t i = 0; error == ERR_OK && i < count; i++)
        error = owner_each(db, &owners[i], each, context);
    return error;
}

/* ---- sums ---- */

struct sums {
    struct usage_subject *subjects;
    size_t count;
    int64_t *units; /* may be below zero in between: units that were given back */
};

static void sums_add(const struct journal_entry *entry, void *context)
{
    struct sums *sums = context;
    for (size_t i = 0; i < sums->count; i++) {
        const struct usage_subject *subject = &sums->subjects[i];
        if (subject->period_start != entry->period_start) continue;
        bool mine = subject->kind == USAGE_KEY ? subject->subject == entry->key_id
                                               : subject->subject == entry->customer_id &&
                                                     !(entry->flags & JOURNAL_QUOTA_FREE);
        if (mine) sums->units[i] += entry->units;
    }
}

static enum err folded_read(struct db *db, const struct usage_subject *subject, int64_t *units)
{
    struct db_rows rows;
    enum err error =
        subject->kind == USAGE_KEY
            ? db_query(db,
                       "SELECT CAST(COALESCE(SUM(units), 0) AS SIGNED) FROM usage_hour WHERE "
                       "key_id = ? AND hour >= ? AND period_start = ?",
                       DB_VALUES(db_u64(subject->subject),
                                 db_i64(period_hour_start(subject->period_start)),
                                 db_i64(subject->period_start)),
                       &rows)
            : db_query(
                  db, "SELECT used FROM budget WHERE kind = 1 AND subject = ? AND period_start = ?",
                  DB_VALUES(db_u64(subject->subject), db_i64(subject->period_start)), &rows);
    if (error != ERR_OK) return error;
    *units = 0;
    if (db_next(&rows)) {
        *units = db_get_i64(&rows, 0);
        db_finish(&rows);
    }
    return ERR_OK;
}

enum err usage_used_many(struct db *db, struct usage_subject *subjects, size_t count)
{
    if (!count) return ERR_OK;
    struct arena arena CLEANUP(arena_done) = {0};
    int64_t *units = arena_alloc(&arena, count * sizeof *units);
    if (!units) return ERR_NO_MEMORY;
    enum err error = ERR_OK;
    for (size_t i = 0; error == ERR_OK && i < count; i++)
        error = folded_read(db, &subjects[i], &units[i]);
    struct sums sums = {subjects, count, units};
    if (error == ERR_OK) error = usage_unfolded_each(db, sums_add, &sums);
    for (size_t i = 0; error == ERR_OK && i < count; i++)
        subjects[i].used = units[i] > 0 ? (uint64_t)units[i] : 0;
    return error;
}
