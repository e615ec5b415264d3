/* Networks of secrets in an overlap. Called by the fold on the background thread, and by reminders
 * on the committer's. What always holds: memory and rows are bounded, whatever a client sends from
 * where; and as long as no secret has an end the fold asks for no more than that. */
#include "store/secret_network.h"

#include "core/journal.h"
#include "io/db.h"
#include "store/ids.h"
#include "store/upsert.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOTS = 8192, /* a power of two */
    SLOTS_USED = SLOTS / 4 * 3,
    ENDING_MAX = 10000, /* more secrets in an overlap are not told apart */
};

struct ids {
    uint64_t *ids;
    size_t count;
};

static int by_number(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static bool has(const uint64_t *ids, size_t count, uint64_t id)
{
    return count && bsearch(&id, ids, count, sizeof id, by_number);
}

/* ---- collecting ---- */

enum err fold_networks_begin(struct db *db, struct fold_networks *seen)
{
    static const char sql[] = "SELECT id FROM key_secret FORCE INDEX (ending) WHERE ends = 1"
                              " LIMIT ?";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(ENDING_MAX)), &rows);
    if (error) return error;
    while (db_next(&rows)) {
        if (!seen->ending) seen->ending = calloc(ENDING_MAX, sizeof *seen->ending);
        if (!seen->ending || seen->ending_count == ENDING_MAX) {
            db_finish(&rows);
            break;
        }
        seen->ending[seen->ending_count++] = db_get_u64(&rows, 0);
    }
    if (seen->ending) qsort(seen->ending, seen->ending_count, sizeof *seen->ending, by_number);
    return ERR_OK;
}

void fold_networks_done(struct fold_networks *seen)
{
    free(seen->ending);
    free(seen->slots);
    *seen = (struct fold_networks){0};
}

static bool is_same(const struct secret_network *slot, const struct journal_entry *entry)
{
    return slot->secret_id == entry->secret_id && slot->length == entry->network_length &&
           memcmp(slot->network, entry->network, slot->length) == 0;
}

static size_t place_of(const struct journal_entry *entry)
{
    uint64_t mixed = entry->secret_id;
    for (unsigned i = 0; i < entry->network_length; i++)
        mixed = (mixed ^ entry->network[i]) * 0x9E3779B97F4A7C15u;
    return (size_t)(mixed ^ mixed >> 29);
}

void fold_networks_add(struct fold_networks *seen, const struct journal_entry *entry)
{
    if (!seen->ending_count || !entry->last_used_ms || !entry->network_length ||
        !has(seen->ending, seen->ending_count, entry->secret_id))
        return;
    if (!seen->slots) seen->slots = calloc(SLOTS, sizeof *seen->slots);
    if (!seen->slots) return;
    for (size_t at = place_of(entry);; at++) {
        struct secret_network *slot = &seen->slots[at % SLOTS];
        if (!slot->secret_id) {
            if (seen->count == SLOTS_USED) return;
            *slot = (struct secret_network){.secret_id = entry->secret_id,
                                            .length = entry->network_length};
            memcpy(slot->network, entry->network, entry->network_length);
            seen->count++;
        } else if (!is_same(slot, entry)) {
            continue;
        }
        if (entry->last_used_ms > slot->last_used_at) slot->last_used_at = entry->last_used_ms;
        return;
    }
}

/* ---- writing ---- */

static enum err full_add(const struct db_rows *rows, void *context)
{
    struct ids *full = context;
    full->ids[full->count++] = db_get_u64(rows, 0);
    return ERR_OK;
}

/* Of the secrets that are to be written, those that have as many networks as are noted. */
static enum err full_read(struct db *db, const struct secret_network *const *order, size_t count,
                          struct ids *full)
{
    static const char sql[] =
        "SELECT secret_id FROM secret_network WHERE secret_id IN " THESE_IDS
        " GROUP BY secret_id HAVING COUNT(*) >= 200"; /* SECRET_NETWORKS_MAX */
    uint64_t *ids = calloc(count + 1, sizeof *ids);
    size_t some = 0;
    full->ids = calloc(count + 1, sizeof *ids);
    enum err error = ids && full->ids ? ERR_OK : ERR_NO_MEMORY;
    for (size_t i = 0; !error && i < count; i++)
        if (!some || ids[some - 1] != order[i]->secret_id) ids[some++] = order[i]->secret_id;
    if (!error && some) error = ids_query(db, sql, ids, some, full_add, full);
    free(ids);
    if (full->count) qsort(full->ids, full->count, sizeof *full->ids, by_number);
    return error;
}

static int by_secret(const void *left, const void *right)
{
    const struct secret_network *a = *(const struct secret_network *const *)left;
    const struct secret_network *b = *(const struct secret_network *const *)right;
    if (a->secret_id != b->secret_id) return a->secret_id > b->secret_id ? 1 : -1;
    if (a->length != b->length) return a->length - b->length;
    return memcmp(a->network, b->network, a->length);
}

static enum err rows_write(struct db *db, const struct secret_network *const *order, size_t count,
                           const struct ids *full)
{
    struct upsert networks = {
        .db = db,
        .width = 3,
        UPSERT("INSERT INTO secret_network (secret_id, network, last_used_at)", "(?,?,?)",
               "last_used_at = GREATEST(last_used_at, VALUES(last_used_at))")};
    enum err error = ERR_OK;
    for (size_t i = 0, same = 0; !error && i < count; i++) {
        const struct secret_network *row = order[i];
        same = i && order[i - 1]->secret_id == row->secret_id ? same + 1 : 0;
        if (same >= SECRET_NETWORKS_MAX || has(full->ids, full->count, row->secret_id)) continue;
        error = upsert_add(&networks, (struct db_value[]){db_u64(row->secret_id),
                                                          db_bytes(row->network, row->length),
                                                          db_i64(row->last_used_at)});
    }
    return error ? error : upsert_flush(&networks);
}

enum err fold_networks_write(struct db *db, const struct fold_networks *seen)
{
    if (!seen->count) return ERR_OK;
    const struct secret_network **order = calloc(seen->count, sizeof *order);
    struct ids full = {0};
    size_t count = 0;
    if (!order) return ERR_NO_MEMORY;
    for (size_t i = 0; i < SLOTS && count < seen->count; i++)
        if (seen->slots[i].secret_id) order[count++] = &seen->slots[i];
    qsort(order, count, sizeof *order, by_secret);
    enum err error = full_read(db, order, count, &full);
    if (!error) error = rows_write(db, order, count, &full);
    free(order);
    free(full.ids);
    return error;
}

/* ---- naming ---- */

enum err secret_networks(struct db *db, uint64_t key_id, uint32_t version, int64_t since_ms,
                         struct secret_network *out, size_t capacity, size_t *count, size_t *total)
{
    static const char sql[] =
        "SELECT n.secret_id, n.network, n.last_used_at FROM key_secret s"
        " JOIN secret_network n ON n.secret_id = s.id WHERE s.key_id = ? AND s.version = ?"
        " AND n.last_used_at > ? ORDER BY n.last_used_at DESC, n.network";
    struct db_rows rows;
    *count = *total = 0;
    enum err error =
        db_query(db, sql, DB_VALUES(db_u64(key_id), db_u64(version), db_i64(since_ms)), &rows);
    if (error) return error;
    while (db_next(&rows)) {
        struct span network = db_get_span(&rows, 1);
        if (network.length != 4 && network.length != 16) continue;
        ++*total;
        if (*count == capacity) continue;
        struct secret_network *row = &out[(*count)++];
        *row = (struct secret_network){.secret_id = db_get_u64(&rows, 0),
                                       .last_used_at = db_get_i64(&rows, 2),
                                       .length = (uint8_t)network.length};
        memcpy(row->network, network.data, network.length);
    }
    return ERR_OK;
}
