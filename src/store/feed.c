/* Appending to the change feed and the audit chain.
 *
 * Called last in a management transaction, on a DB thread: by the committer for all operations of a
 * batch together. feed_head is locked first, so positions are dense, in commit order, and no two
 * transactions chain their audit rows to the same predecessor. */
#include "store/feed.h"

#include "crypto/audit_chain.h"
#include "io/db.h"

#include <sodium.h>
#include <string.h>

enum { FEED_CHUNK = 16, FEED_COLUMNS = 7, AUDIT_CHUNK = 8, AUDIT_COLUMNS = 11 };

#define FEED_INTO "INSERT INTO feed (position, tag, kind, subject, hash, slug, created_at) VALUES "
#define FEED_ROW  "(?,?,?,?,?,?,?)"
#define AUDIT_INTO                                                                                 \
    "INSERT INTO audit (sequence, id, at, actor, action, subject, customer_id, address,"           \
    " request_id, detail, hash) VALUES "
#define AUDIT_ROW  "(?,?,?,?,?,?,?,?,?,?,?)"
#define FOUR(row)  row "," row "," row "," row
#define EIGHT(row) FOUR(row) "," FOUR(row)

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
    static const char one[] = FEED_INTO FEED_ROW;
    static const char many[] = FEED_INTO EIGHT(FEED_ROW) "," EIGHT(FEED_ROW);
    struct db_value values[FEED_CHUNK * FEED_COLUMNS];
    while (count) {
        size_t take = count >= FEED_CHUNK ? FEED_CHUNK : 1;
        struct db_value *value = values;
        for (size_t i = 0; i < take; i++, rows++) {
            *value++ = db_u64(position++);
            *value++ = db_u64(tag);
            *value++ = db_i64(rows->kind);
            *value++ = db_u64(rows->subject);
            *value++ = rows->has_hash ? db_bytes(rows->hash, sizeof rows->hash) : db_null();
            *value++ = rows->slug[0] ? db_text(rows->slug) : db_null();
            *value++ = db_i64(now_ms);
        }
        enum err error = db_execute(db, take == 1 ? one : many, values, take * FEED_COLUMNS, NULL);
        if (error) return error;
        count -= take;
    }
    return ERR_OK;
}

/* Chains the rows to the head, which moves past them. */
static enum err audit_insert(struct db *db, const struct audit_row *rows, size_t count,
                             struct feed_head *head)
{
    static const char one[] = AUDIT_INTO AUDIT_ROW;
    static const char many[] = AUDIT_INTO EIGHT(AUDIT_ROW);
    struct db_value values[AUDIT_CHUNK * AUDIT_COLUMNS];
    unsigned char hashes[AUDIT_CHUNK][AUDIT_HASH_SIZE];
    while (count) {
        size_t take = count >= AUDIT_CHUNK ? AUDIT_CHUNK : 1;
        struct db_value *value = values;
        for (size_t i = 0; i < take; i++, rows++) {
            struct audit_entry entry = {
                .sequence = ++head->audit_sequence,
                .id = rows->id,
                .at = rows->at,
                .actor = span_text(rows->actor),
                .action = span_text(rows->action),
                .subject = span_text(rows->subject),
                .customer_id = rows->customer_id,
                .address = span_text(rows->address),
                .request_id = span_text(rows->request_id),
                .detail = rows->detail ? span_text(rows->detail) : SPAN("{}"),
            };
            audit_chain_next(head->audit_hash, &entry, hashes[i]);
            memcpy(head->audit_hash, hashes[i], AUDIT_HASH_SIZE);
            *value++ = db_u64(entry.sequence);
            *value++ = db_u64(entry.id);
            *value++ = db_i64(entry.at);
            *value++ = db_span(entry.actor);
            *value++ = db_span(entry.action);
            *value++ = db_span(entry.subject);
            *value++ = entry.customer_id ? db_u64(entry.customer_id) : db_null();
            *value++ = db_span(entry.address);
            *value++ = db_span(entry.request_id);
            *value++ = db_span(entry.detail);
            *value++ = db_bytes(hashes[i], AUDIT_HASH_SIZE);
        }
        enum err error = db_execute(db, take == 1 ? one : many, values, take * AUDIT_COLUMNS, NULL);
        if (error) return error;
        count -= take;
    }
    return ERR_OK;
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

enum err feed_find(struct db *db, uint64_t position, uint64_t tag, bool *found)
{
    static const char sql[] = "SELECT 1 FROM feed WHERE position = ? AND tag = ?";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(position), db_u64(tag)), &rows);
    if (error) return error;
    *found = db_next(&rows);
    if (*found) db_finish(&rows);
    return ERR_OK;
}
