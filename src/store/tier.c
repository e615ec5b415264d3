/* The tier table. Called by the tier calls of api/ and by use cases that ask what a tier grants; DB
 * thread. What always holds: a row that was written here can be read here, and a row that cannot be
 * understood is an error, never a tier that grants something else. */
#include "store/tier.h"

#include "base/buf.h"
#include "base/json.h"
#include "io/db.h"
#include "store/names.h"

#include <stdio.h>

#define TIER_COLUMNS                                                                               \
    "slug, name, monthly_quota, overage, rate_limits, max_keys, requires_payment, label, "         \
    "rotation_days, notice_days, grace_seconds, hard_stop_days, max_overlap_days, on_unclaimed, "  \
    "on_lapse, permissions, price_references, ack, created_at, updated_at"

/* ---- rate limits ---- */

void rate_limits_to_json(const struct rate_limit *limits, unsigned count, struct buf *out)
{
    json_open(out, NULL, '[');
    for (unsigned i = 0; i < count; i++) {
        json_open(out, NULL, '{');
        json_put_string(out, "name", limits[i].name);
        json_put_u64(out, "limit", limits[i].limit);
        json_put_u64(out, "window_seconds", limits[i].window_s);
        json_close(out, '}');
    }
    json_close(out, ']');
}

static bool limit_read(const json_t *from, struct rate_limit *out)
{
    const json_t *name = json_object_get(from, "name");
    json_int_t limit = json_integer_value(json_object_get(from, "limit"));
    json_int_t window = json_integer_value(json_object_get(from, "window_seconds"));
    if (!json_is_string(name) ||
        !rate_name_valid(span_of(json_string_value(name), json_string_length(name))) || limit < 1 ||
        limit > RATE_LIMIT_MAX || window < 1 || window > RATE_WINDOW_MAX_S)
        return false;
    *out = (struct rate_limit){.limit = (uint32_t)limit, .window_s = (uint32_t)window};
    snprintf(out->name, sizeof out->name, "%s", json_string_value(name));
    return true;
}

static enum err limits_read(struct span text, struct tier *tier)
{
    char error[JSON_ERROR_SIZE];
    json_t *array = NULL;
    enum err parsed = json_parse_strict(text, &array, error);
    if (parsed != ERR_OK) return parsed == ERR_INVALID ? ERR_DB : parsed;
    size_t count = json_array_size(array);
    bool good = json_is_array(array) && count <= RATE_LIMITS_MAX;
    for (size_t i = 0; good && i < count; i++)
        good = limit_read(json_array_get(array, i), &tier->rate_limits[i]);
    tier->rate_limit_count = good ? (unsigned)count : 0;
    json_decref(array);
    return good ? ERR_OK : ERR_DB;
}

/* ---- rows ---- */

static bool text_copy(char *out, size_t size, struct span text)
{
    if (text.length >= size) return false;
    memcpy(out, text.data, text.length);
    out[text.length] = '\0';
    return true;
}

static enum err names_read(struct span json, char out[TIER_LIST_SIZE])
{
    struct arena arena CLEANUP(arena_done) = {0};
    const char *joined = NULL;
    enum err error = names_from_json(json, &arena, &joined);
    if (error == ERR_OK && !text_copy(out, TIER_LIST_SIZE, span_text(joined))) error = ERR_DB;
    return error;
}

static enum err row_read(const struct db_rows *rows, struct tier_row *row)
{
    struct tier *tier = &row->tier;
    *row =
        (struct tier_row){.created_at = db_get_i64(rows, 18), .updated_at = db_get_i64(rows, 19)};
    tier->has_quota = !db_is_null(rows, 2);
    tier->monthly_quota = db_get_u64(rows, 2);
    tier->max_keys = (uint32_t)db_get_u64(rows, 5);
    tier->requires_payment = db_get_i64(rows, 6) != 0;
    tier->rotation_days = (uint32_t)db_get_u64(rows, 8);
    tier->notice_days = (uint32_t)db_get_u64(rows, 9);
    tier->grace_seconds = (uint32_t)db_get_u64(rows, 10);
    tier->hard_stop_days = (uint32_t)db_get_u64(rows, 11);
    tier->max_overlap_days = (uint32_t)db_get_u64(rows, 12);
    bool good = text_copy(tier->slug, sizeof tier->slug, db_get_span(rows, 0)) &&
                text_copy(tier->label, sizeof tier->label, db_get_span(rows, 7)) &&
                overage_parse(db_get_span(rows, 3), &tier->overage) &&
                on_unclaimed_parse(db_get_span(rows, 13), &tier->on_unclaimed) &&
                on_lapse_parse(db_get_span(rows, 14), &tier->on_lapse) &&
                ack_parse(db_get_span(rows, 17), &tier->ack);
    good = good && text_copy(tier->name, sizeof tier->name, db_get_span(rows, 1));
    if (!good) return ERR_DB;
    enum err error = limits_read(db_get_span(rows, 4), tier);
    if (error == ERR_OK) error = names_read(db_get_span(rows, 15), tier->permissions);
    if (error == ERR_OK) error = names_read(db_get_span(rows, 16), tier->price_references);
    return error;
}

enum err tier_row_find(struct db *db, struct span slug, struct tier_row *row)
{
    struct db_rows rows;
    enum err error = db_query(db, "SELECT " TIER_COLUMNS " FROM tier WHERE slug = ?",
                              DB_VALUES(db_span(slug)), &rows);
    if (error != ERR_OK) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    error = row_read(&rows, row);
    db_finish(&rows);
    return error;
}

enum err tier_list(struct db *db, struct arena *arena, struct tier_row **out, size_t *count)
{
    struct db_rows rows;
    enum err error =
        db_query(db, "SELECT " TIER_COLUMNS " FROM tier ORDER BY slug LIMIT 64", DB_NONE, &rows);
    if (error != ERR_OK) return error;
    struct tier_row *list = arena_alloc(arena, (rows.count + 1) * sizeof *list);
    if (!list) error = ERR_NO_MEMORY;
    size_t n = 0;
    while (error == ERR_OK && n < rows.count && db_next(&rows))
        error = row_read(&rows, &list[n++]);
    db_finish(&rows);
    *out = list;
    *count = n;
    return error;
}

/* ---- saving ---- */

struct tier_texts {
    struct buf limits, permissions, references;
};

static enum err tier_update(struct db *db, const struct tier *tier, const struct tier_texts *texts,
                            int64_t now_ms)
{
    return db_execute(
        db,
        "UPDATE tier SET name = ?, monthly_quota = ?, overage = ?, rate_limits = ?, max_keys = ?, "
        "requires_payment = ?, label = ?, rotation_days = ?, notice_days = ?, grace_seconds = ?, "
        "hard_stop_days = ?, max_overlap_days = ?, on_unclaimed = ?, on_lapse = ?, permissions = "
        "?, "
        "price_references = ?, ack = ?, updated_at = ? WHERE slug = ?",
        DB_VALUES(db_text(tier->name), tier->has_quota ? db_u64(tier->monthly_quota) : db_null(),
                  db_text(overage_name(tier->overage)), db_span(buf_span(&texts->limits)),
                  db_u64(tier->max_keys), db_i64(tier->requires_payment), db_text(tier->label),
                  db_u64(tier->rotation_days), db_u64(tier->notice_days),
                  db_u64(tier->grace_seconds), db_u64(tier->hard_stop_days),
                  db_u64(tier->max_overlap_days), db_text(on_unclaimed_name(tier->on_unclaimed)),
                  db_text(on_lapse_name(tier->on_lapse)), db_span(buf_span(&texts->permissions)),
                  db_span(buf_span(&texts->references)), db_text(ack_name(tier->ack)),
                  db_i64(now_ms), db_text(tier->slug)),
        NULL);
}

/* The locks make two who add the last one at once come one after the other. */
static enum err tier_room(struct db *db)
{
    struct db_rows rows;
    enum err error = db_query(db, "SELECT COUNT(*) FROM tier FOR UPDATE", DB_NONE, &rows);
    if (error != ERR_OK) return error;
    bool full = db_next(&rows) && db_get_i64(&rows, 0) >= TIERS_MAX;
    db_finish(&rows);
    return full ? ERR_FULL : ERR_OK;
}

/* A row with the slug and neutral columns, which tier_update then fills. */
static enum err tier_insert(struct db *db, const char *slug, int64_t now_ms)
{
    enum err error = tier_room(db);
    if (error != ERR_OK) return error;
    return db_execute(db,
                      "INSERT INTO tier (" TIER_COLUMNS ") VALUES (?, '', NULL, 'block', '[]', 0, "
                      "1, 'km_live', 90, 7, 86400, 7, 30, 'keep', 'suspend', '[]', '[]', 'commit', "
                      "?, ?)",
                      DB_VALUES(db_text(slug), db_i64(now_ms), db_i64(now_ms)), NULL);
}

int64_t tier_version(const struct tier_row *row)
{
    return row->updated_at ? row->updated_at : 1; /* the seeded ones have no time */
}

enum err tier_lock(struct db *db, struct span slug, int64_t *version)
{
    struct db_rows rows;
    enum err error = db_query(db, "SELECT updated_at FROM tier WHERE slug = ? FOR UPDATE",
                              DB_VALUES(db_span(slug)), &rows);
    if (error != ERR_OK) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    struct tier_row row = {.updated_at = db_get_i64(&rows, 0)};
    db_finish(&rows);
    *version = tier_version(&row);
    return ERR_OK;
}

enum err tier_save(struct db *db, struct tier_row *row, int64_t now_ms, bool *created)
{
    struct db_rows rows;
    struct tier *tier = &row->tier;
    enum err error = db_query(db, "SELECT created_at FROM tier WHERE slug = ? FOR UPDATE",
                              DB_VALUES(db_text(tier->slug)), &rows);
    if (error != ERR_OK) return error;
    *created = !db_next(&rows);
    row->created_at = *created ? now_ms : db_get_i64(&rows, 0);
    row->updated_at = now_ms;
    if (!*created) db_finish(&rows);
    if (*created) error = tier_insert(db, tier->slug, now_ms);
    if (error != ERR_OK) return error;
    struct tier_texts texts = {0};
    rate_limits_to_json(tier->rate_limits, tier->rate_limit_count, &texts.limits);
    names_to_json(span_text(tier->permissions), &texts.permissions);
    names_to_json(span_text(tier->price_references), &texts.references);
    error = texts.limits.failed || texts.permissions.failed || texts.references.failed
                ? ERR_NO_MEMORY
                : tier_update(db, tier, &texts, now_ms);
    buf_done(&texts.limits);
    buf_done(&texts.permissions);
    buf_done(&texts.references);
    return error;
}
