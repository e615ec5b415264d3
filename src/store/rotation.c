/* The rotation table. Called on a DB thread: by operations under their key's lock, by the scheduler
 * for what is due, by lists. What always holds: a step is pending as long as its look_at is set,
 * and it is done in the transaction that did it. */
#include "store/rotation.h"

#include "io/db.h"
#include "store/ids.h"
#include "store/upsert.h"

#include <string.h>

#define COLUMNS                                                                                    \
    "r.key_id, r.generation, r.step, r.status, r.number, r.due_at, r.look_at, r.waits_for,"        \
    " r.waited_at, r.used_at, r.done_at, r.created_at"
enum { C_ID = 12, C_CUSTOMER };

static struct db_value optional(int64_t value)
{
    return value ? db_i64(value) : db_null();
}

static void row_read(const struct db_rows *rows, struct rotation_row *row)
{
    *row = (struct rotation_row){
        .key_id = db_get_u64(rows, 0),
        .generation = (uint32_t)db_get_u64(rows, 1),
        .step = (int)db_get_i64(rows, 2),
        .status = (enum rotation_status)db_get_i64(rows, 3),
        .number = (uint32_t)db_get_u64(rows, 4),
        .due_at = db_get_i64(rows, 5),
        .look_at = db_get_i64(rows, 6),
        .waits_for = db_get_u64(rows, 7),
        .waited_at = db_get_i64(rows, 8),
        .used_at = db_get_i64(rows, 9),
        .done_at = db_get_i64(rows, 10),
        .created_at = db_get_i64(rows, 11),
    };
}

/* ---- writing ---- */

enum err rotation_put(struct db *db, const struct rotation_row *rows, size_t count)
{
    struct upsert steps = {
        .db = db,
        .width = 12,
        UPSERT("INSERT INTO rotation (key_id, generation, step, status, number, due_at, look_at,"
               " waits_for, waited_at, used_at, done_at, created_at)",
               "(?,?,?,?,?,?,?,?,?,?,?,?)",
               "status = VALUES(status), number = VALUES(number), due_at = VALUES(due_at),"
               " look_at = VALUES(look_at), waits_for = VALUES(waits_for),"
               " waited_at = VALUES(waited_at), used_at = VALUES(used_at),"
               " done_at = VALUES(done_at), created_at = VALUES(created_at)")};
    enum err error = ERR_OK;
    for (const struct rotation_row *row = rows; !error && row < rows + count; row++)
        error = upsert_add(
            &steps, (struct db_value[]){db_u64(row->key_id), db_u64(row->generation),
                                        db_i64(row->step), db_i64((int64_t)row->status),
                                        db_u64(row->number), optional(row->due_at),
                                        optional(row->look_at), optional((int64_t)row->waits_for),
                                        optional(row->waited_at), optional(row->used_at),
                                        optional(row->done_at), db_i64(row->created_at)});
    return error ? error : upsert_flush(&steps);
}

enum err rotation_update(struct db *db, const struct rotation_row *row)
{
    static const char sql[] =
        "UPDATE rotation SET status = ?, number = ?, due_at = ?, look_at = ?, waits_for = ?,"
        " waited_at = ?, used_at = ?, done_at = ? WHERE key_id = ? AND generation = ? AND step = ?";
    return db_execute(db, sql,
                      DB_VALUES(db_i64((int64_t)row->status), db_u64(row->number),
                                optional(row->due_at), optional(row->look_at),
                                optional((int64_t)row->waits_for), optional(row->waited_at),
                                optional(row->used_at), optional(row->done_at), db_u64(row->key_id),
                                db_u64(row->generation), db_i64(row->step)),
                      NULL);
}

enum err rotation_drop(struct db *db, uint64_t key_id, enum rotation_drop what)
{
    static const char all[] = "DELETE FROM rotation WHERE key_id = ? AND look_at IS NOT NULL";
    static const char secrets[] =
        "DELETE FROM rotation WHERE key_id = ? AND look_at IS NOT NULL AND step <> 4";
    static const char before[] =
        "DELETE FROM rotation WHERE key_id = ? AND look_at IS NOT NULL AND step IN (1, 2)";
    static const char reminders[] =
        "DELETE FROM rotation WHERE key_id = ? AND look_at IS NOT NULL AND step >= 100";
    static const char *const sql[] = {
        [ROTATION_DROP_ALL] = all,
        [ROTATION_DROP_SECRETS] = secrets,
        [ROTATION_DROP_BEFORE] = before,
        [ROTATION_DROP_REMINDERS] = reminders,
    };
    return db_execute(db, sql[what], DB_VALUES(db_u64(key_id)), NULL);
}

enum err rotation_remove(struct db *db, const struct rotation_row *row)
{
    static const char sql[] =
        "DELETE FROM rotation WHERE key_id = ? AND generation = ? AND step = ?";
    return db_execute(
        db, sql, DB_VALUES(db_u64(row->key_id), db_u64(row->generation), db_i64(row->step)), NULL);
}

enum err rotation_erase(struct db *db, uint64_t customer_id, int64_t now_ms)
{
    static const char steps[] = "DELETE r FROM api_key k JOIN rotation r ON r.key_id = k.id"
                                " WHERE k.customer_id = ? AND r.look_at IS NOT NULL";
    static const char claims[] = "UPDATE api_key k JOIN claim c ON c.key_id = k.id"
                                 " SET c.ended_at = ? WHERE k.customer_id = ?"
                                 " AND c.ended_at IS NULL";
    static const char mails[] = "DELETE FROM outbox WHERE customer_id = ?";
    enum err error = db_execute(db, steps, DB_VALUES(db_u64(customer_id)), NULL);
    if (!error)
        error = db_execute(db, claims, DB_VALUES(db_i64(now_ms), db_u64(customer_id)), NULL);
    if (!error) error = db_execute(db, mails, DB_VALUES(db_u64(customer_id)), NULL);
    return error;
}

enum err rotation_accepted(struct db *db, uint64_t key_id, uint64_t mail_id, int64_t accepted_at)
{
    /* Never before the mail was queued, whatever the clock of the node that sent it says. */
    static const char sql[] =
        "UPDATE rotation SET waited_at = GREATEST(?, created_at), look_at = LEAST(look_at, ?)"
        " WHERE key_id = ? AND waits_for = ? AND waited_at IS NULL AND look_at IS NOT NULL";
    return db_execute(
        db, sql,
        DB_VALUES(db_i64(accepted_at), db_i64(accepted_at), db_u64(key_id), db_u64(mail_id)), NULL);
}

/* ---- locking ---- */

static enum err lock_one(struct db *db, const char *sql, const struct db_value *values,
                         size_t count, struct rotation_row *row)
{
    struct db_rows rows;
    enum err error = db_query(db, sql, values, count, &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    row_read(&rows, row);
    db_finish(&rows);
    return ERR_OK;
}

enum err rotation_lock(struct db *db, uint64_t key_id, uint32_t generation, int step,
                       struct rotation_row *row)
{
    static const char sql[] = "SELECT " COLUMNS " FROM rotation r WHERE r.key_id = ?"
                              " AND r.generation = ? AND r.step = ? AND r.look_at IS NOT NULL"
                              " FOR UPDATE";
    return lock_one(db, sql, DB_VALUES(db_u64(key_id), db_u64(generation), db_i64(step)), row);
}

enum err rotation_lock_any(struct db *db, uint64_t key_id, uint32_t generation, int step,
                           struct rotation_row *row)
{
    static const char sql[] = "SELECT " COLUMNS " FROM rotation r WHERE r.key_id = ?"
                              " AND r.generation = ? AND r.step = ? FOR UPDATE";
    return lock_one(db, sql, DB_VALUES(db_u64(key_id), db_u64(generation), db_i64(step)), row);
}

enum err rotation_lock_main(struct db *db, uint64_t key_id, struct rotation_row *row)
{
    static const char sql[] = "SELECT " COLUMNS " FROM rotation r WHERE r.key_id = ?"
                              " AND r.step IN (1, 2, 3) AND r.look_at IS NOT NULL"
                              " ORDER BY r.generation DESC LIMIT 1 FOR UPDATE";
    return lock_one(db, sql, DB_VALUES(db_u64(key_id)), row);
}

enum err rotation_lock_retirement(struct db *db, uint64_t key_id, struct rotation_row *row)
{
    static const char sql[] = "SELECT " COLUMNS " FROM rotation r WHERE r.key_id = ?"
                              " AND r.step = 3 AND r.look_at IS NOT NULL"
                              " ORDER BY r.generation DESC LIMIT 1 FOR UPDATE";
    return lock_one(db, sql, DB_VALUES(db_u64(key_id)), row);
}

/* ---- what is due ---- */

enum err rotation_pick(struct db *db, int64_t now_ms, struct rotation_pick *out, size_t capacity,
                       size_t *count)
{
    static const char sql[] =
        "SELECT STRAIGHT_JOIN d.key_id, d.generation, d.step, k.customer_id, d.look_at FROM (SELECT"
        " key_id, generation, step, look_at FROM rotation FORCE INDEX (look) WHERE look_at <= ?"
        " ORDER BY look_at, key_id LIMIT ?) d JOIN api_key k ON k.id = d.key_id"
        " ORDER BY d.look_at, d.key_id";
    struct db_rows rows;
    *count = 0;
    enum err error = db_query(db, sql, DB_VALUES(db_i64(now_ms), db_u64(capacity)), &rows);
    if (error) return error;
    while (*count < capacity && db_next(&rows))
        out[(*count)++] = (struct rotation_pick){
            .key_id = db_get_u64(&rows, 0),
            .generation = (uint32_t)db_get_u64(&rows, 1),
            .step = (int)db_get_i64(&rows, 2),
            .customer_id = db_get_u64(&rows, 3),
            .look_at = db_get_i64(&rows, 4),
        };
    db_finish(&rows);
    return ERR_OK;
}

enum err rotation_pick_used(struct db *db, uint64_t *cursor, size_t looked,
                            struct rotation_pick *out, size_t *count)
{
    static const char sql[] =
        "SELECT STRAIGHT_JOIN o.id, o.key_id, o.generation, k.customer_id, u.last_used_at,"
        " o.used_at FROM (SELECT id, key_id, generation, used_at FROM rotation FORCE INDEX (status)"
        " WHERE status = 3 AND id > ? ORDER BY id LIMIT ?) o"
        " JOIN api_key k ON k.id = o.key_id"
        " LEFT JOIN key_secret s ON s.key_id = o.key_id AND s.version = o.generation + 1"
        " LEFT JOIN secret_last_used u ON u.secret_id = s.id ORDER BY o.id";
    struct db_rows rows;
    size_t seen = 0;
    *count = 0;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(*cursor), db_u64(looked)), &rows);
    if (error) return error;
    while (seen < looked && db_next(&rows)) {
        seen++;
        *cursor = db_get_u64(&rows, 0);
        if (db_is_null(&rows, 4) || !db_is_null(&rows, 5)) continue;
        out[(*count)++] = (struct rotation_pick){
            .key_id = db_get_u64(&rows, 1),
            .generation = (uint32_t)db_get_u64(&rows, 2),
            .step = ROTATION_RETIRE,
            .customer_id = db_get_u64(&rows, 3),
            .used_at = db_get_i64(&rows, 4),
        };
    }
    db_finish(&rows);
    if (seen < looked) *cursor = 0;
    return ERR_OK;
}

enum err rotation_waiting(struct db *db, int64_t now_ms, uint64_t at_most, uint64_t *count)
{
    static const char sql[] = "SELECT COUNT(*) FROM (SELECT 1 FROM rotation FORCE INDEX (look)"
                              " WHERE look_at <= ? LIMIT ?) some";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_i64(now_ms), db_u64(at_most)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_DB;
    *count = db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}

/* ---- secrets ---- */

#define SECRETS                                                                                    \
    "SELECT s.key_id, s.version, s.start, s.created_at, s.expires_at, u.last_used_at"              \
    " FROM key_secret s LEFT JOIN secret_last_used u ON u.secret_id = s.id WHERE "

static void secret_take(const struct db_rows *rows, struct rotation_secret *secret)
{
    struct span start = db_get_span(rows, 2);
    *secret = (struct rotation_secret){.there = true,
                                       .created_at = db_get_i64(rows, 3),
                                       .expires_at = db_get_i64(rows, 4),
                                       .last_used_at = db_get_i64(rows, 5)};
    if (start.length < sizeof secret->start) memcpy(secret->start, start.data, start.length);
}

enum err rotation_secrets(struct db *db, uint64_t key_id, uint32_t generation,
                          struct rotation_secret *old, struct rotation_secret *next)
{
    static const char sql[] = SECRETS "s.key_id = ? AND s.version IN (?, ?)";
    struct db_rows rows;
    *old = *next = (struct rotation_secret){0};
    enum err error = db_query(
        db, sql, DB_VALUES(db_u64(key_id), db_u64(generation), db_u64(generation + UINT64_C(1))),
        &rows);
    if (error) return error;
    while (db_next(&rows))
        secret_take(&rows, db_get_u64(&rows, 1) == generation ? old : next);
    return ERR_OK;
}

/* ---- a page of keys ---- */

struct states {
    struct rotation_state *first;
    size_t count;
};

static struct rotation_state *state_of(const struct states *states, uint64_t key_id)
{
    size_t low = 0, high = states->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (states->first[middle].key_id < key_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < states->count && states->first[low].key_id == key_id ? &states->first[low] : NULL;
}

static enum err pending_add(const struct db_rows *rows, void *context)
{
    struct rotation_state *state = state_of(context, db_get_u64(rows, 0));
    struct rotation_row row;
    if (!state) return ERR_DB;
    row_read(rows, &row);
    if (row.generation != state->generation) return ERR_OK;
    if (row.step == state->step) state->row = row;
    if (row.step == state->step) state->pending = true;
    if (row.step == ROTATION_RETIRE) state->retirement = row;
    return ERR_OK;
}

static enum err secret_add(const struct db_rows *rows, void *context)
{
    struct rotation_state *state = state_of(context, db_get_u64(rows, 0));
    struct rotation_secret secret;
    uint64_t version = db_get_u64(rows, 1);
    if (!state) return ERR_DB;
    secret_take(rows, &secret);
    if (version == state->secret) state->old = secret;
    if (version == state->secret + UINT64_C(1)) state->next = secret;
    if (secret.expires_at > state->last_end) state->last_end = secret.expires_at;
    return ERR_OK;
}

static enum err states_query(struct db *db, const char *sql, struct rotation_state *states,
                             size_t count, ids_row_fn add)
{
    struct states context = {states, count};
    uint64_t ids[ROTATION_STATES_MAX];
    if (count > ROTATION_STATES_MAX) return ERR_INVALID;
    for (size_t i = 0; i < count; i++)
        ids[i] = states[i].key_id;
    return ids_query(db, sql, ids, count, add, &context);
}

enum err rotation_states_lock(struct db *db, struct rotation_state *states, size_t count)
{
    static const char sql[] =
        "SELECT " COLUMNS " FROM rotation r FORCE INDEX (PRIMARY) WHERE r.key_id IN " THESE_IDS
        " AND r.look_at IS NOT NULL FOR UPDATE";
    return states_query(db, sql, states, count, pending_add);
}

enum err rotation_states_secrets(struct db *db, struct rotation_state *states, size_t count)
{
    static const char sql[] = SECRETS "s.key_id IN " THESE_IDS;
    return states_query(db, sql, states, count, secret_add);
}

/* ---- lists ---- */

enum err rotation_list(struct db *db, const struct rotation_filter *filter, struct arena *arena,
                       struct rotation_view **out, size_t *count)
{
    static const char one[] =
        "SELECT " COLUMNS ", r.id, k.customer_id FROM rotation r JOIN api_key k ON k.id = r.key_id"
        " WHERE r.status = ? AND r.id < ? ORDER BY r.id DESC LIMIT ?";
    static const char any[] =
        "SELECT " COLUMNS ", r.id, k.customer_id FROM rotation r FORCE INDEX (id)"
        " JOIN api_key k ON k.id = r.key_id WHERE r.status > ? AND r.id < ? ORDER BY r.id DESC "
        "LIMIT ?";
    struct db_rows rows;
    *count = 0;
    *out = arena_alloc(arena, (filter->limit + 1) * sizeof **out);
    if (!*out) return ERR_NO_MEMORY;
    enum err error = db_query(db, filter->status ? one : any,
                              DB_VALUES(db_i64((int64_t)filter->status),
                                        db_u64(filter->before ? filter->before : INT64_MAX),
                                        db_u64(filter->limit)),
                              &rows);
    if (error) return error;
    while (*count < filter->limit && db_next(&rows)) {
        struct rotation_view *view = &(*out)[(*count)++];
        row_read(&rows, &view->row);
        view->id = db_get_u64(&rows, C_ID);
        view->customer_id = db_get_u64(&rows, C_CUSTOMER);
    }
    db_finish(&rows);
    return ERR_OK;
}
