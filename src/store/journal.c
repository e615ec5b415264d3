/* Journal insert, look-up of an uncertain insert, and reading the change feed. Called on the
 * flusher's thread. Each statement is its own transaction: the insert's lock on the node row ends
 * with it. */
#include "store/journal.h"

#include <stdio.h>

enum err journal_insert(struct db *db, struct journal_id id, struct span payload)
{
    uint64_t affected = 0;
    enum err error = db_execute(
        db,
        "INSERT INTO meter_journal (node, incarnation, seq, payload) SELECT id, incarnation, ?, ? "
        "FROM node WHERE id = ? AND incarnation = ? AND fenced = 0 LOCK IN SHARE MODE",
        DB_VALUES(db_u64(id.seq), db_span(payload), db_u64(id.node), db_u64(id.incarnation)),
        &affected);
    if (error == ERR_OK && affected != 1) return ERR_FENCED;
    return error;
}

enum err journal_insert_at(struct db *db, struct journal_id id, struct span payload,
                           struct feed_place place, bool *written)
{
    /* The feed is read without a lock: who appends to it is not kept waiting, nor keeps us. */
    uint64_t affected = 0;
    enum err error = db_execute(
        db,
        "INSERT INTO meter_journal (node, incarnation, seq, payload) SELECT id, incarnation, ?, ? "
        "FROM node WHERE id = ? AND incarnation = ? AND fenced = 0 AND (?, ?) = (SELECT position, "
        "tag FROM feed ORDER BY position DESC LIMIT 1) LOCK IN SHARE MODE",
        DB_VALUES(db_u64(id.seq), db_span(payload), db_u64(id.node), db_u64(id.incarnation),
                  db_u64(place.position), db_u64(place.tag)),
        &affected);
    *written = error == ERR_OK && affected == 1;
    return error;
}

enum err journal_look(struct db *db, struct journal_id id, bool *found)
{
    struct db_rows rows;
    enum err error =
        db_query(db, "SELECT 1 FROM meter_journal WHERE node = ? AND incarnation = ? AND seq = ?",
                 DB_VALUES(db_u64(id.node), db_u64(id.incarnation), db_u64(id.seq)), &rows);
    if (error) return error;
    *found = db_next(&rows);
    db_finish(&rows);
    return ERR_OK;
}

enum err journal_own_commit(struct db *db, unsigned node, unsigned incarnation)
{
    uint64_t affected = 0;
    enum err error = db_execute(db,
                                "UPDATE node_heartbeat SET heartbeat = heartbeat + 1 WHERE node = "
                                "? AND incarnation = ?",
                                DB_VALUES(db_u64(node), db_u64(incarnation)), &affected);
    /* A statement that changed nothing committed nothing. */
    if (!error && affected != 1) return ERR_NOT_FOUND;
    return error;
}

enum { FEED_PAGE = 1000 };
_Static_assert(2 * FEED_READ_MAX * sizeof(struct feed_row) < ARENA_LIMIT_DEFAULT,
               "an arena holds what is read, and its smaller copies");

/* Room for more, twice as much each time. */
static enum err grow(struct arena *arena, struct feed_read *out, size_t *room)
{
    if (*room == FEED_READ_MAX) return ERR_NOT_FOUND;
    *room = *room ? *room * 2 : FEED_PAGE;
    struct feed_row *rows = arena_alloc(arena, *room * sizeof *rows);
    if (!rows) return ERR_NO_MEMORY;
    if (out->count) memcpy(rows, out->rows, out->count * sizeof *rows);
    out->rows = rows;
    return ERR_OK;
}

static void row_read(const struct db_rows *rows, struct feed_row *row)
{
    *row = (struct feed_row){.kind = (enum feed_kind)db_get_i64(rows, 2),
                             .subject = db_get_u64(rows, 3)};
    struct span hash = db_get_span(rows, 4);
    row->has_hash = hash.length == sizeof row->hash;
    if (row->has_hash) memcpy(row->hash, hash.data, sizeof row->hash);
    struct span slug = db_get_span(rows, 5);
    snprintf(row->slug, sizeof row->slug, "%.*s", (int)slug.length, slug.length ? slug.data : "");
}

/* One page behind out->end; its first row must be the one at out->end. */
static enum err read_page(struct db *db, struct arena *arena, struct feed_read *out, size_t *room,
                          bool *full)
{
    struct db_rows rows;
    enum err error = db_query(db,
                              "SELECT position, tag, kind, subject, hash, slug FROM feed "
                              "WHERE position >= ? ORDER BY position LIMIT 1000",
                              DB_VALUES(db_u64(out->end.position)), &rows);
    if (error) return error;
    bool first = true, same = false;
    size_t count = 0;
    while (db_next(&rows)) {
        struct feed_place place = {db_get_u64(&rows, 0), db_get_u64(&rows, 1)};
        count++;
        if (first) {
            first = false;
            same = place.position == out->end.position && place.tag == out->end.tag;
            if (!same) break;
            continue;
        }
        if (out->count == *room) error = grow(arena, out, room);
        if (error) break;
        row_read(&rows, &out->rows[out->count++]);
        out->end = place;
    }
    db_finish(&rows);
    *full = count == FEED_PAGE;
    if (error) return error;
    return same ? ERR_OK : ERR_NOT_FOUND;
}

enum err feed_read(struct db *db, struct feed_place from, struct arena *arena,
                   struct feed_read *out)
{
    size_t room = 0;
    *out = (struct feed_read){.end = from};
    for (bool full = true; full;) {
        enum err error = read_page(db, arena, out, &room, &full);
        if (error) return error;
    }
    return ERR_OK;
}

enum err feed_newest(struct db *db, struct feed_place *out)
{
    struct db_rows rows;
    enum err error = db_query(db, "SELECT position, tag FROM feed ORDER BY position DESC LIMIT 1",
                              DB_NONE, &rows);
    if (error) return error;
    bool found = db_next(&rows);
    if (found) *out = (struct feed_place){db_get_u64(&rows, 0), db_get_u64(&rows, 1)};
    db_finish(&rows);
    return found ? ERR_OK : ERR_NOT_FOUND;
}
