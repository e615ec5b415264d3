/* Appending to the change feed and the audit chain.
 *
 * Called last in a management transaction, on a DB thread: by the committer for all operations of a
 * batch together. feed_head is locked first, so positions are dense, in commit order, and no two
 * transactions chain their audit rows to the same predecessor. */
#include "store/feed.h"

#include "crypto/audit_chain.h"
#include "store/upsert.h"

#include <sodium.h>
#include <string.h>

struct feed_head {
    uint64_t position, audit_sequence;
    unsigned char audit_hash[32];
};

static enum err head_lock(struct db *db, struct feed_head *head)
{
    static const char sql[] = "SELECT position, audit_sequence, audit_hash FROM feed_head"
                              " WHERE id = 1 FOR UPDATE";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_NONE, &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_DB;
    head->position = db_get_u64(&rows, 0);
    head->audit_sequence = db_get_u64(&rows, 1);
    struct span hash = db_get_span(&rows, 2);
    bool whole = hash.length == sizeof head->audit_hash;
    if (whole) memcpy(head->audit_hash, hash.data, hash.length);
    db_finish(&rows);
    return whole ? ERR_OK : ERR_DB;
}

static enum err feed_insert(struct db *db, int64_t now_ms, const struct feed_row *rows,
                            size_t count, uint64_t position, uint64_t tag)
{
    struct upsert feed = {
        .db = db,
        .width = 7,
        INSERT("INSERT INTO feed (position, tag, kind, subject, hash, slug, created_at)",
               "(?,?,?,?,?,?,?)")};
    enum err error = ERR_OK;
    for (size_t i = 0; i < count && !error; i++) {
        const struct feed_row *row = &rows[i];
        struct db_value hash = row->has_hash ? db_bytes(row->hash, sizeof row->hash) : db_null();
        error = upsert_add(&feed, (struct db_value[]){db_u64(position + i), db_u64(tag),
                                                      db_i64(row->kind), db_u64(row->subject), hash,
                                                      row->slug[0] ? db_text(row->slug) : db_null(),
                                                      db_i64(now_ms)});
    }
    return error ? error : upsert_flush(&feed);
}

/* Chains the rows to the head, which moves past them. */
static enum err audit_insert(struct db *db, const struct audit_row *rows, size_t count,
                             struct feed_head *head)
{
    struct upsert audit = {
        .db = db,
        .width = 11,
        INSERT("INSERT INTO audit (sequence, id, at, actor, action, subject, customer_id,"
               " address, request_id, detail, hash)",
               "(?,?,?,?,?,?,?,?,?,?,?)")};
    unsigned char hashes[UPSERT_ROWS][AUDIT_HASH_SIZE]; /* of those that wait for the flush */
    enum err error = ERR_OK;
    for (size_t i = 0; i < count && !error; i++) {
        const struct audit_row *row = &rows[i];
        unsigned char *hash = hashes[i % UPSERT_ROWS];
        struct audit_entry entry = {
            .sequence = ++head->audit_sequence,
            .id = row->id,
            .at = row->at,
            .actor = span_text(row->actor),
            .action = span_text(row->action),
            .subject = span_text(row->subject),
            .customer_id = row->customer_id,
            .address = span_text(row->address),
            .request_id = span_text(row->request_id),
            .detail = row->detail ? span_text(row->detail) : SPAN("{}"),
        };
        audit_chain_next(head->audit_hash, &entry, hash);
        memcpy(head->audit_hash, hash, AUDIT_HASH_SIZE);
        error = upsert_add(
            &audit,
            (struct db_value[]){db_u64(entry.sequence), db_u64(entry.id), db_i64(entry.at),
                                db_span(entry.actor), db_span(entry.action), db_span(entry.subject),
                                entry.customer_id ? db_u64(entry.customer_id) : db_null(),
                                db_span(entry.address), db_span(entry.request_id),
                                db_span(entry.detail), db_bytes(hash, AUDIT_HASH_SIZE)});
    }
    return error ? error : upsert_flush(&audit);
}

enum err feed_append(struct db *db, int64_t now_ms, const struct feed_row *rows, size_t row_count,
                     const struct audit_row *audits, size_t audit_count, uint64_t *first_position,
                     uint64_t *tag)
{
    static const char move[] = "UPDATE feed_head SET position = ?, audit_sequence = ?,"
                               " audit_hash = ? WHERE id = 1";
    struct feed_head head;
    enum err error = head_lock(db, &head);
    if (error) return error;
    uint64_t random;
    randombytes_buf(&random, sizeof random);
    random >>= 1; /* the column is signed */
    if (first_position) *first_position = head.position + 1;
    if (tag) *tag = random;
    error = feed_insert(db, now_ms, rows, row_count, head.position + 1, random);
    if (error) return error;
    head.position += row_count;
    error = audit_insert(db, audits, audit_count, &head);
    if (error) return error;
    return db_execute(db, move,
                      DB_VALUES(db_u64(head.position), db_u64(head.audit_sequence),
                                db_bytes(head.audit_hash, sizeof head.audit_hash)),
                      NULL);
}

static enum err find(struct db *db, const char *sql, const struct db_value *values, size_t count,
                     bool *found)
{
    struct db_rows rows;
    enum err error = db_query(db, sql, values, count, &rows);
    if (error) return error;
    *found = db_next(&rows);
    if (*found) db_finish(&rows);
    return ERR_OK;
}

enum err feed_find(struct db *db, uint64_t position, uint64_t tag, bool *found)
{
    static const char sql[] = "SELECT 1 FROM feed WHERE position = ? AND tag = ?";
    return find(db, sql, DB_VALUES(db_u64(position), db_u64(tag)), found);
}

enum err feed_find_audit(struct db *db, uint64_t id, bool *found)
{
    return find(db, "SELECT 1 FROM audit WHERE id = ?", DB_VALUES(db_u64(id)), found);
}
