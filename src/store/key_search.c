/* Searching keys. Called by store/key_view.c for a list, on a DB thread, in a snapshot. One filter,
 * the driver, is walked newest or oldest first along an index that serves it and ends with the
 * key's id; what else is asked for is looked up for each candidate. What always holds: candidates
 * come in chunks that grow, so a page costs what it shows when the driver is the only filter, and a
 * bounded number of look-ups when filters disagree; pages neither repeat nor skip, because each
 * goes on behind the last candidate that was looked at. */
#include "store/key_search.h"

#include "core/period.h"
#include "io/db.h"

#include <string.h>

enum { CHUNK_LAST = 16384, CHUNK_GROWTH = 8 };
enum { FILTER_VALUES = 12 + 2 * KEY_WORDS_MAX, DRIVER_VALUES = 4 };
enum { WORD_COUNT_MAX = 500, UNUSED_COUNT_MAX = 5000 };

/* The parameters stand for constants when the server plans, so "(? IS NULL OR …)" costs nothing. */
#define HAS_WORD                                                                                   \
    " AND (? IS NULL OR EXISTS (SELECT 1 FROM key_word w WHERE w.word = ? AND w.key_id = k.id))"
#define SEARCH(candidates, way)                                                                    \
    "SELECT STRAIGHT_JOIN c.id, (? IS NULL OR k.customer_id = ?) AND (? IS NULL OR e.tier = ?)"    \
    " AND (? IS NULL OR ? = CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked'"                     \
    " WHEN k.suspended OR e.status = 'suspended' THEN 'suspended'"                                 \
    " WHEN k.disabled THEN 'disabled' WHEN k.expires_at <= ? THEN 'expired'"                       \
    " WHEN EXISTS (SELECT 1 FROM key_secret o WHERE o.key_id = k.id AND o.expires_at > ?)"         \
    " THEN 'rotating' ELSE 'active' END)"                                                          \
    " AND (? IS NULL OR (k.created_at < ?"                                                         \
    " AND NOT EXISTS (SELECT 1 FROM key_activity a WHERE a.key_id = k.id AND a.hour > ?)"          \
    " AND NOT EXISTS (SELECT 1 FROM key_secret o JOIN secret_last_used u ON u.secret_id = o.id"    \
    " WHERE o.key_id = k.id AND u.last_used_at >= ?)))" HAS_WORD HAS_WORD HAS_WORD HAS_WORD        \
        HAS_WORD HAS_WORD HAS_WORD HAS_WORD " FROM (" candidates                                   \
    ") c JOIN api_key k ON k.id = c.id LEFT JOIN entitlement e ON e.customer_id = k.customer_id"   \
    " ORDER BY c.id " way
#define BELOW(id) " AND " id " < ? ORDER BY " id " DESC LIMIT ?"
#define ABOVE(id) " AND " id " > ? ORDER BY " id " ASC LIMIT ?"
/* Newest first, and oldest first. */
#define WAYS(candidates, id)                                                                       \
    {                                                                                              \
        SEARCH(candidates BELOW(id), "DESC"), SEARCH(candidates ABOVE(id), "ASC")                  \
    }

/* What a driver's own parameters are; behind them come `before` and the size of the chunk. */
struct driver {
    const char *sql;
    struct db_value values[DRIVER_VALUES - 2];
    size_t count;
};

static struct driver driver_of(const char *sql, struct db_value first, struct db_value second,
                               size_t count)
{
    return (struct driver){sql, {first, second}, count};
}

/* How many rows the statement counts, which stops at a maximum of its own. */
static enum err count_up_to(struct db *db, const char *sql, struct db_value value, uint64_t max,
                            uint64_t *count)
{
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(value, db_u64(max)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_DB;
    *count = db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}

/* The rarest word. */
static enum err drive_by_word(struct db *db, const struct key_filter *filter, struct driver *driver)
{
    static const char *const sql[] =
        WAYS("SELECT key_id AS id FROM key_word WHERE word = ?", "key_id");
    static const char count_sql[] =
        "SELECT COUNT(*) FROM (SELECT 1 FROM key_word WHERE word = ? LIMIT ?) w";
    size_t rarest = 0;
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; filter->word_count > 1 && i < filter->word_count; i++) {
        uint64_t count;
        enum err error =
            count_up_to(db, count_sql, db_span(filter->words[i]), WORD_COUNT_MAX, &count);
        if (error) return error;
        if (count < least) rarest = i;
        if (count < least) least = count;
    }
    *driver = driver_of(sql[filter->oldest_first], db_span(filter->words[rarest]), db_null(), 1);
    return ERR_OK;
}

/* Few that were not used: by the index on the hour, sorted. Many: *driver is left as it is, a walk
 * meets them soon. */
static enum err drive_by_activity(struct db *db, const struct key_filter *filter,
                                  struct driver *driver)
{
    static const char *const sql[] =
        WAYS("SELECT key_id AS id FROM key_activity FORCE INDEX (hour) WHERE hour <= ?", "key_id");
    static const char count_sql[] =
        "SELECT COUNT(*) FROM (SELECT 1 FROM key_activity FORCE INDEX (hour) WHERE hour <= ?"
        " LIMIT ?) a";
    struct db_value hour = db_i64(period_hour_start(filter->unused_since));
    uint64_t count;
    enum err error = count_up_to(db, count_sql, hour, UNUSED_COUNT_MAX, &count);
    if (!error && count < UNUSED_COUNT_MAX)
        *driver = driver_of(sql[filter->oldest_first], hour, db_null(), 1);
    return error;
}

/* api_key.state */
static struct db_value state_of(enum key_status status)
{
    switch (status) {
    case KEY_ACTIVE:
    case KEY_ROTATING:
    case KEY_EXPIRED:
        return db_i64(0);
    case KEY_DISABLED:
        return db_i64(1);
    case KEY_SUSPENDED:
        return db_i64(2);
    case KEY_REVOKED:
        return db_i64(3);
    }
    return db_null();
}

/* By what api_key's own indexes serve. */
static struct driver drive_by_key(const struct key_filter *filter)
{
    static const char *const all[] = WAYS("SELECT id FROM api_key WHERE 1 = 1", "id");
    static const char *const tier[] =
        WAYS("SELECT id FROM api_key FORCE INDEX (tier) WHERE tier = ?", "id");
    static const char *const state[] =
        WAYS("SELECT id FROM api_key FORCE INDEX (state) WHERE state = ?", "id");
    static const char *const both[] =
        WAYS("SELECT id FROM api_key FORCE INDEX (tier_state) WHERE tier = ? AND state = ?", "id");
    static const char *const ending[] =
        WAYS("SELECT id FROM api_key FORCE INDEX (ending) WHERE state = ? AND ends = ?", "id");
    static const char *const overlap[] =
        WAYS("SELECT DISTINCT key_id AS id FROM key_secret FORCE INDEX (ending) WHERE ends = ?",
             "key_id");
    unsigned way = filter->oldest_first;
    struct db_value status = filter->has_status ? state_of(filter->status) : db_null();
    if (filter->has_status && filter->status == KEY_ROTATING)
        return driver_of(overlap[way], db_i64(1), db_null(), 1);
    if (filter->has_status && filter->status == KEY_EXPIRED)
        return driver_of(ending[way], status, db_i64(1), 2);
    if (filter->has_status && filter->tier.data)
        return driver_of(both[way], db_span(filter->tier), status, 2);
    if (filter->has_status) return driver_of(state[way], status, db_null(), 1);
    if (filter->tier.data) return driver_of(tier[way], db_span(filter->tier), db_null(), 1);
    return driver_of(all[way], db_null(), db_null(), 0);
}

static enum err driver_choose(struct db *db, const struct key_filter *filter, struct driver *driver)
{
    static const char *const customer[] =
        WAYS("SELECT id FROM api_key FORCE INDEX (customer) WHERE customer_id = ?", "id");
    if (filter->customer_id) {
        *driver =
            driver_of(customer[filter->oldest_first], db_u64(filter->customer_id), db_null(), 1);
        return ERR_OK;
    }
    if (filter->word_count) return drive_by_word(db, filter, driver);
    *driver = drive_by_key(filter);
    return filter->unused_since ? drive_by_activity(db, filter, driver) : ERR_OK;
}

/* FILTER_VALUES of them, in the order of SEARCH. */
static void filter_values(const struct key_filter *filter, int64_t now_ms, struct db_value *out)
{
    struct db_value customer = filter->customer_id ? db_u64(filter->customer_id) : db_null();
    struct db_value tier = filter->tier.data ? db_span(filter->tier) : db_null();
    struct db_value status =
        filter->has_status ? db_text(key_status_name(filter->status)) : db_null();
    struct db_value since = filter->unused_since ? db_i64(filter->unused_since) : db_null();
    struct db_value hour = db_i64(period_hour_start(filter->unused_since)), now = db_i64(now_ms);
    const struct db_value first[] = {customer, customer, tier,  tier,  status, status,
                                     now,      now,      since, since, hour,   since};
    memcpy(out, first, sizeof first);
    out += COUNT_OF(first);
    for (size_t i = 0; i < KEY_WORDS_MAX; i++) {
        struct db_value word = i < filter->word_count ? db_span(filter->words[i]) : db_null();
        *out++ = word;
        *out++ = word;
    }
}

/* Ids begin with the time of their making (base/codec.h): what is younger than unused_since, with
 * ten minutes for clocks that differ, need not be looked at. */
static uint64_t walk_from(const struct key_filter *filter)
{
    enum { ID_TIME_SHIFT = 21, CLOCKS_DIFFER_MS = 10 * 60 * 1000 };
    if (filter->oldest_first) return filter->before;
    uint64_t before = filter->before ? filter->before : INT64_MAX;
    if (!filter->unused_since) return before;
    uint64_t made = (uint64_t)(filter->unused_since + CLOCKS_DIFFER_MS);
    if (made >= INT64_MAX >> ID_TIME_SHIFT) return before;
    return made << ID_TIME_SHIFT < before ? made << ID_TIME_SHIFT : before;
}

struct walk {
    uint64_t *ids;
    size_t count, limit;
    uint64_t before, last_hit;
    bool more; /* a hit past the limit */
};

/* One chunk of candidates. *seen: how many there were. */
static enum err walk_on(struct db *db, const struct driver *driver, struct db_value *values,
                        size_t count, size_t chunk, struct walk *walk, size_t *seen)
{
    struct db_rows rows;
    values[count] = db_u64(walk->before);
    values[count + 1] = db_u64(chunk);
    enum err error = db_query(db, driver->sql, values, count + 2, &rows);
    if (error) return error;
    *seen = 0;
    while (!walk->more && db_next(&rows)) {
        ++*seen;
        walk->before = db_get_u64(&rows, 0);
        if (!db_get_i64(&rows, 1)) continue;
        walk->more = walk->count == walk->limit;
        if (walk->more) continue;
        walk->last_hit = walk->before;
        walk->ids[walk->count++] = walk->before;
    }
    if (walk->more) db_finish(&rows);
    return ERR_OK;
}

static enum err customer_resolve(struct db *db, struct key_filter *filter)
{
    struct db_rows rows;
    enum err error = db_query(db, "SELECT id FROM customer WHERE external_id = ?",
                              DB_VALUES(db_span(filter->external_id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    filter->customer_id = db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}

enum err key_search(struct db *db, const struct key_filter *wanted, int64_t now_ms,
                    struct arena *arena, uint64_t **ids, size_t *count, uint64_t *next)
{
    struct key_filter filter = *wanted;
    struct driver driver;
    struct walk walk = {.limit = filter.limit,
                        .before = walk_from(&filter),
                        .ids = arena_alloc(arena, (filter.limit + 1) * sizeof **ids)};
    *ids = walk.ids;
    *count = 0;
    *next = 0;
    if (!walk.ids) return ERR_NO_MEMORY;
    enum err error = ERR_OK;
    if (!filter.customer_id && filter.external_id.data) error = customer_resolve(db, &filter);
    if (error == ERR_NOT_FOUND) return ERR_OK; /* no such customer, no keys */
    if (!error) error = driver_choose(db, &filter, &driver);
    if (error) return error;
    struct db_value values[FILTER_VALUES + DRIVER_VALUES];
    filter_values(&filter, now_ms, values);
    memcpy(values + FILTER_VALUES, driver.values, driver.count * sizeof *values);
    size_t chunk = filter.limit + 1, seen = chunk;
    while (!error && !walk.more && seen == chunk) {
        error = walk_on(db, &driver, values, FILTER_VALUES + driver.count, chunk, &walk, &seen);
        if (chunk >= CHUNK_LAST) break;
        if (walk.more || error || seen < chunk) break;
        chunk *= CHUNK_GROWTH;
        if (chunk > CHUNK_LAST) chunk = CHUNK_LAST;
        seen = chunk;
    }
    *count = walk.count;
    if (walk.more)
        *next = walk.last_hit;
    else if (seen == chunk)
        *next = walk.before;
    return error;
}
