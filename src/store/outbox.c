/* The outbox's rows as mails: queued by operations inside their transaction, claimed and finished
 * by the mailer's jobs, each in a transaction of its own that holds the node's row, all on DB
 * threads. What always holds: a row in `sending` is one live node's alone; and a mail that was
 * accepted keeps nothing of what was sent. Lock order: node (share), rotation, outbox. */
#include "store/outbox.h"

#include "base/codec.h"
#include "io/db.h"
#include "store/alert.h"
#include "store/ids.h"
#include "store/node.h"
#include "store/rotation.h"
#include "store/upsert.h"

#include <stdlib.h>
#include <string.h>

enum { CLAIM_MAX = 256, ERROR_MAX = 200 };

#define MINE " WHERE id = ? AND state = 'sending' AND node = ? AND incarnation = ?"

static struct db_value optional_bytes(struct span bytes)
{
    return bytes.data ? db_span(bytes) : db_null();
}

enum err outbox_insert(struct db *db, const struct outbox_row *rows, size_t count)
{
    struct upsert mails = {
        .db = db,
        .width = 14,
        INSERT("INSERT INTO outbox (id, kind, subject, generation, number, recipient, customer_id,"
               " key_id, state, next_at, recipient_sealed, context, body, with_link,"
               " first_queued_at)",
               "(?,?,?,?,?,?,?,?,'queued',?,?,?,?,?,?)")};
    enum err error = ERR_OK;
    for (const struct outbox_row *row = rows; !error && row < rows + count; row++)
        error = upsert_add(
            &mails, (struct db_value[]){db_u64(row->id), db_text(row->kind), db_u64(row->subject),
                                        db_u64(row->generation), db_u64(row->number),
                                        db_span(row->recipient), db_u64(row->customer_id),
                                        row->key_id ? db_u64(row->key_id) : db_null(),
                                        db_i64(row->queued_at), db_span(row->recipient_sealed),
                                        db_text(row->context), optional_bytes(row->body),
                                        db_u64(row->with_link), db_i64(row->queued_at)});
    return error ? error : upsert_flush(&mails);
}

enum err outbox_number(struct db *db, struct outbox_row *row)
{
    static const char sql[] = "SELECT COALESCE(MAX(number) + 1, 0) FROM outbox WHERE kind = ?"
                              " AND subject = ? AND generation = ? AND number < ?";
    struct db_rows rows;
    enum err error = db_query(db, sql,
                              DB_VALUES(db_text(row->kind), db_u64(row->subject),
                                        db_u64(row->generation), db_u64(OUTBOX_BY_HAND)),
                              &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_DB;
    row->number = (uint32_t)db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}

/* ---- claiming ---- */

/* Ids without locks: those that are due, then those that a dead node left. */
static enum err pick(struct db *db, const char *sql, const struct db_value *values, size_t values_n,
                     size_t limit, uint64_t *ids, size_t *count)
{
    struct db_rows rows;
    enum err error = db_query(db, sql, values, values_n, &rows);
    if (error) return error;
    while (*count < limit && db_next(&rows))
        ids[(*count)++] = db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}

static enum err pick_due(struct db *db, int64_t now_ms, size_t limit, uint64_t *ids, size_t *count)
{
    static const char due[] = "SELECT id FROM outbox FORCE INDEX (due) WHERE state = ?"
                              " AND next_at <= ? ORDER BY next_at LIMIT ?";
    static const char far[] = "SELECT id FROM outbox FORCE INDEX (due) WHERE state = ?"
                              " AND next_at > ? ORDER BY next_at LIMIT ?";
    static const char left[] =
        "SELECT o.id FROM outbox o JOIN node n ON n.id = o.node AND n.incarnation = o.incarnation"
        " WHERE o.state = 'sending' AND n.fenced = 1 LIMIT ?";
    int64_t far_ms = now_ms + OUTBOX_FAR_AHEAD_S * INT64_C(1000);
    enum err error = ERR_OK;
    *count = 0;
    error = pick(db, left, DB_VALUES(db_u64(limit)), limit, ids, count);
    for (int i = 0; !error && i < 2; i++) {
        struct db_value state = db_text(i ? "retry" : "queued"), many = db_u64(limit);
        error = pick(db, due, DB_VALUES(state, db_i64(now_ms), many), limit, ids, count);
        if (!error)
            error = pick(db, far, DB_VALUES(state, db_i64(far_ms), many), limit, ids, count);
    }
    return error;
}

static bool copy_span(const struct db_rows *rows, size_t column, struct arena *arena,
                      struct span *out)
{
    *out = (struct span){0};
    if (db_is_null(rows, column)) return true;
    struct span bytes = db_get_span(rows, column);
    *out = span_of(arena_copy(arena, bytes), bytes.length);
    return out->data != NULL;
}

struct taking {
    struct arena *arena;
    struct outbox_mail *mails;
    size_t *count;
};

static enum err mail_add(const struct db_rows *rows, void *context)
{
    struct taking *taking = context;
    struct arena *arena = taking->arena;
    struct outbox_mail *mail = &taking->mails[(*taking->count)++];
    mail->row = (struct outbox_row){
        .id = db_get_u64(rows, 13),
        .kind = db_get_text(rows, 0, arena),
        .subject = db_get_u64(rows, 1),
        .generation = (uint32_t)db_get_u64(rows, 2),
        .number = (uint32_t)db_get_u64(rows, 3),
        .customer_id = db_get_u64(rows, 5),
        .key_id = db_get_u64(rows, 6),
        .context = db_get_text(rows, 8, arena),
        .with_link = db_get_u64(rows, 10) != 0,
        .queued_at = db_get_i64(rows, 11),
    };
    mail->attempts = (uint32_t)db_get_u64(rows, 12) + 1; /* with this one */
    bool whole = mail->row.kind && copy_span(rows, 4, arena, &mail->row.recipient) &&
                 copy_span(rows, 7, arena, &mail->row.recipient_sealed) &&
                 copy_span(rows, 9, arena, &mail->row.body);
    return whole && (mail->row.context || db_is_null(rows, 8)) ? ERR_OK : ERR_NO_MEMORY;
}

/* Of those ids what is free for us: another node, which may read the same ids, has neither locked
 * nor taken it. */
static enum err mails_lock(struct db *db, const uint64_t *ids, size_t count, struct taking *taking)
{
    static const char sql[] =
        "SELECT kind, subject, generation, number, recipient, customer_id, key_id,"
        " recipient_sealed, context, body, with_link, first_queued_at, attempts, id"
        " FROM outbox FORCE INDEX (PRIMARY) WHERE id IN " THESE_IDS
        " AND (state IN ('queued', 'retry') OR (state = 'sending' AND EXISTS (SELECT 1"
        " FROM node n WHERE n.id = outbox.node AND n.incarnation = outbox.incarnation"
        " AND n.fenced = 1))) FOR UPDATE SKIP LOCKED";
    return ids_query(db, sql, ids, count, mail_add, taking);
}

enum { TAKE_MAX = 32 }; /* ids of THESE_IDS */

/* Under their locks, so all of them are changed. */
static enum err mails_take(struct db *db, const struct outbox_node *node,
                           const struct outbox_mail *mails, size_t count)
{
    static const char sql[] = "UPDATE outbox FORCE INDEX (PRIMARY) SET state = 'sending', node = ?,"
                              " incarnation = ?, attempts = attempts + 1 WHERE id IN " THESE_IDS;
    struct db_value values[2 + TAKE_MAX] = {db_u64(node->node), db_u64(node->incarnation)};
    uint64_t changed = 0;
    if (!count) return ERR_OK;
    for (size_t i = 0; i < TAKE_MAX; i++)
        values[2 + i] = db_u64(mails[i < count ? i : count - 1].row.id);
    enum err error = db_execute(db, sql, values, COUNT_OF(values), &changed);
    return !error && changed != count ? ERR_DB_RETRY : error;
}

/* What is taken is in its new state before more are looked at, because an id may have been picked
 * twice, in one state and in the next. */
static enum err take_all(struct db *db, const struct outbox_node *node, const uint64_t *ids,
                         size_t found, struct arena *arena, struct outbox_mail *mails,
                         size_t *count)
{
    struct taking taking = {arena, mails, count};
    enum err error = node_hold(db, node->node, node->incarnation);
    /* Each node begins elsewhere in the page, so that several share it. */
    size_t first = (size_t)(node->node * UINT64_C(2654435761) % found);
    for (size_t at = 0; !error && at < found; at += TAKE_MAX) {
        uint64_t some[TAKE_MAX];
        size_t many = found - at < TAKE_MAX ? found - at : TAKE_MAX, before = *count;
        for (size_t i = 0; i < many; i++)
            some[i] = ids[(first + at + i) % found];
        error = mails_lock(db, some, many, &taking);
        if (!error) error = mails_take(db, node, mails + before, *count - before);
    }
    return error;
}

static int older(const void *left, const void *right)
{
    const struct outbox_mail *a = left, *b = right;
    return (a->row.id > b->row.id) - (a->row.id < b->row.id);
}

enum err outbox_claim(struct db *db, const struct outbox_node *node, int64_t now_ms, size_t limit,
                      struct arena *arena, struct outbox_mail **mails, size_t *count)
{
    uint64_t ids[CLAIM_MAX];
    size_t found;
    if (limit > CLAIM_MAX) limit = CLAIM_MAX;
    *count = 0;
    enum err error = pick_due(db, now_ms, limit, ids, &found);
    if (error || !found) return error;
    *mails = arena_alloc(arena, found * sizeof **mails);
    if (!*mails) return ERR_NO_MEMORY;
    error = db_begin(db);
    if (!error) error = take_all(db, node, ids, found, arena, *mails, count);
    if (!error)
        error = db_commit(db);
    else
        db_rollback(db);
    if (error) *count = 0;
    if (*count) qsort(*mails, *count, sizeof **mails, older);
    return error;
}

/* ---- what a lost claim has left ---- */

static bool is_held(uint64_t id, const uint64_t *held, size_t held_count)
{
    for (size_t i = 0; i < held_count; i++)
        if (held[i] == id) return true;
    return false;
}

static enum err release(struct db *db, const struct outbox_node *node, const uint64_t *held,
                        size_t held_count, int64_t now_ms)
{
    static const char pick_sql[] = "SELECT id FROM outbox FORCE INDEX (due) WHERE state = 'sending'"
                                   " AND node = ? AND incarnation = ? LIMIT ?";
    static const char sql[] = "UPDATE outbox SET state = 'retry', next_at = ?, node = NULL,"
                              " incarnation = NULL" MINE;
    uint64_t ids[2 * CLAIM_MAX];
    size_t count = 0;
    struct db_value id = db_u64(node->node), incarnation = db_u64(node->incarnation);
    enum err error = node_hold(db, node->node, node->incarnation);
    if (!error)
        error = pick(db, pick_sql, DB_VALUES(id, incarnation, db_u64(COUNT_OF(ids))), COUNT_OF(ids),
                     ids, &count);
    for (size_t i = 0; i < count && !error; i++)
        if (!is_held(ids[i], held, held_count))
            error = db_execute(db, sql, DB_VALUES(db_i64(now_ms), db_u64(ids[i]), id, incarnation),
                               NULL);
    return error;
}

enum err outbox_release(struct db *db, const struct outbox_node *node, const uint64_t *held,
                        size_t held_count, int64_t now_ms)
{
    enum err error = db_begin(db);
    if (!error) error = release(db, node, held, held_count, now_ms);
    if (!error) return db_commit(db);
    db_rollback(db);
    return error;
}

/* ---- finishing ---- */

struct held {
    uint64_t key_id, customer_id;
    int64_t queued_at;
};

/* Whose it is, without a lock: the rotation's comes first. */
static enum err held_read(struct db *db, const struct outbox_node *node, uint64_t id,
                          struct held *held)
{
    static const char sql[] =
        "SELECT key_id, customer_id, first_queued_at FROM outbox"
        " WHERE id = ? AND state = 'sending' AND node = ? AND incarnation = ?";
    struct db_rows rows;
    enum err error = db_query(
        db, sql, DB_VALUES(db_u64(id), db_u64(node->node), db_u64(node->incarnation)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    *held = (struct held){db_get_u64(&rows, 0), db_get_u64(&rows, 1), db_get_i64(&rows, 2)};
    db_finish(&rows);
    return ERR_OK;
}

/* ERR_NOT_FOUND when it is not this node's any more. */
static enum err finish(struct db *db, const char *sql, const struct db_value *values, size_t count)
{
    uint64_t changed = 0;
    enum err error = db_execute(db, sql, values, count, &changed);
    if (error) return error;
    return changed == 1 ? ERR_OK : ERR_NOT_FOUND;
}

/* The rotation that waits for it knows; the first half of an acceptance, because its lock comes
 * first. */
static enum err accept_rotation(struct db *db, const struct outbox_node *node, uint64_t id,
                                int64_t now_ms)
{
    struct held held;
    enum err error = held_read(db, node, id, &held);
    if (error || !held.key_id) return error;
    return rotation_accepted(db, held.key_id, id, now_ms);
}

static enum err accept_row(struct db *db, const struct outbox_node *node, uint64_t id,
                           int64_t now_ms)
{
    static const char sql[] =
        "UPDATE outbox SET state = 'sent', accepted_at = ?, recipient_sealed = NULL,"
        " context = NULL, body = NULL, error = NULL" MINE;
    return finish(
        db, sql,
        DB_VALUES(db_i64(now_ms), db_u64(id), db_u64(node->node), db_u64(node->incarnation)));
}

static enum err fail_row(struct db *db, const struct outbox_node *node,
                         const struct outbox_result *result, int64_t now_ms)
{
    static const char sql[] = "UPDATE outbox SET state = ?, next_at = ?, error = ?, node = NULL,"
                              " incarnation = NULL" MINE;
    char subject[ID_TEXT_SIZE];
    struct held held;
    struct span reason = span_text(result->error);
    if (reason.length > ERROR_MAX) reason.length = ERROR_MAX;
    enum err error = held_read(db, node, result->id, &held);
    if (error) return error;
    bool dead =
        result->final || result->next_at - held.queued_at > OUTBOX_GIVE_UP_S * INT64_C(1000);
    error =
        finish(db, sql,
               DB_VALUES(db_text(dead ? "dead" : "retry"), db_i64(result->next_at), db_span(reason),
                         db_u64(result->id), db_u64(node->node), db_u64(node->incarnation)));
    if (error || !dead) return error;
    id_format(subject, "ntf", result->id);
    return alert_raise(db, ALERT_NOTIFICATION_FAILED, subject, held.customer_id, NULL, now_ms);
}

/* One whose row is not this node's any more stops the others only where there are none. */
static enum err finish_all(struct db *db, const struct outbox_node *node,
                           const struct outbox_result *results, size_t count, int64_t now_ms)
{
    size_t gone = 0;
    enum err error = node_hold(db, node->node, node->incarnation);
    for (size_t i = 0; i < count && !error; i++) {
        if (results[i].accepted) error = accept_rotation(db, node, results[i].id, now_ms);
        if (error == ERR_NOT_FOUND) error = ERR_OK;
    }
    for (size_t i = 0; i < count && !error; i++) {
        const struct outbox_result *result = &results[i];
        error = result->accepted ? accept_row(db, node, result->id, now_ms)
                                 : fail_row(db, node, result, now_ms);
        gone += error == ERR_NOT_FOUND;
        if (error == ERR_NOT_FOUND) error = ERR_OK;
    }
    return !error && gone == count ? ERR_NOT_FOUND : error;
}

enum err outbox_finish(struct db *db, const struct outbox_node *node,
                       const struct outbox_result *results, size_t count, int64_t now_ms)
{
    if (!count) return ERR_OK;
    enum err error = db_begin(db);
    if (!error) error = finish_all(db, node, results, count, now_ms);
    if (!error) return db_commit(db);
    db_rollback(db);
    return error;
}

enum err outbox_accepted(struct db *db, const struct outbox_node *node, uint64_t id, int64_t now_ms)
{
    struct outbox_result result = {.id = id, .accepted = true};
    return outbox_finish(db, node, &result, 1, now_ms);
}

enum err outbox_failed(struct db *db, const struct outbox_node *node, uint64_t id, int64_t now_ms,
                       int64_t next_at, bool final, const char *text)
{
    struct outbox_result result = {.id = id, .final = final, .next_at = next_at, .error = text};
    return outbox_finish(db, node, &result, 1, now_ms);
}
