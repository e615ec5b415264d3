/* The loads of the verify path. Called on the loader's thread; a load is one statement, so its rows
 * and its feed position are of one moment. */
#include "store/key_load.h"

#include "base/buf.h"
#include "core/rotation.h"
#include "crypto/key_hash.h"

#include <jansson.h>
#include <stdio.h>

#define TEN_MARKS "?, ?, ?, ?, ?, ?, ?, ?, ?, ?"

static const char key_load_sql[] =
    "SELECT f.position, x.* FROM feed_head f LEFT JOIN ("
    "SELECT h.hash, h.algorithm, h.pepper_id, s.id AS secret_id, s.expires_at AS "
    "secret_expires_at, k.id AS key_id, "
    "k.customer_id, k.expires_at, k.environment, k.disabled, k.suspended, k.revoked_at, "
    "k.permissions, k.rate_limits, k.allowed_networks, k.metadata, c.external_id, c.deleted_at, "
    "k.monthly_cap, e.tier, e.status, e.anchor, e.kept_start, e.kept_until FROM key_hash h JOIN "
    "key_secret s ON "
    "s.id = h.secret_id JOIN api_key k ON "
    "k.id = s.key_id JOIN customer c ON c.id = k.customer_id JOIN entitlement e ON e.customer_id = "
    "c.id WHERE h.hash IN (" TEN_MARKS ", " TEN_MARKS ", " TEN_MARKS ", ?, ?)) x ON 1 = 1 "
    "WHERE f.id = 1";

enum column {
    C_POSITION,
    C_HASH,
    C_ALGORITHM,
    C_PEPPER,
    C_SECRET_ID,
    C_SECRET_EXPIRES,
    C_KEY_ID,
    C_CUSTOMER_ID,
    C_EXPIRES,
    C_ENVIRONMENT,
    C_DISABLED,
    C_SUSPENDED,
    C_REVOKED,
    C_PERMISSIONS,
    C_RATE_LIMITS,
    C_NETWORKS,
    C_METADATA,
    C_EXTERNAL_ID,
    C_DELETED,
    C_CAP,
    C_TIER,
    C_STATUS,
    C_ANCHOR,
    C_KEPT_START,
    C_KEPT_UNTIL,
};

/* False: no memory. A row without its networks or limits would admit whom it must not. */
static bool keep(const struct db_rows *rows, enum column column, struct arena *arena,
                 struct span *out)
{
    struct span value = db_get_span(rows, column);
    char *copy = arena_copy(arena, value);
    if (copy) *out = span_of(copy, value.length);
    return copy != NULL;
}

/* ["a","b"] becomes a,b. */
static struct span names_join(struct span json, struct arena *arena)
{
    json_t *array = json_loadb(json.data, json.length, 0, NULL);
    struct buf joined = {.limit = 65536};
    size_t index;
    json_t *value;
    json_array_foreach(array, index, value)
    {
        if (!json_is_string(value)) continue;
        if (joined.length) buf_add_char(&joined, ',');
        buf_add_text(&joined, json_string_value(value));
    }
    char *copy = arena_copy(arena, buf_span(&joined));
    struct span result = copy ? span_of(copy, joined.length) : (struct span){0};
    buf_done(&joined);
    json_decref(array);
    return result;
}

static bool row_fill(const struct db_rows *rows, struct arena *arena, struct key_load_row *row)
{
    row->found = true;
    row->secret_id = db_get_u64(rows, C_SECRET_ID);
    row->secret_expires_at = db_get_i64(rows, C_SECRET_EXPIRES);
    row->replaced = row->secret_expires_at != 0;
    if (row->secret_expires_at == SECRET_END_OPEN) row->secret_expires_at = 0;
    row->key_id = db_get_u64(rows, C_KEY_ID);
    row->customer_id = db_get_u64(rows, C_CUSTOMER_ID);
    row->key_expires_at = db_get_i64(rows, C_EXPIRES);
    row->live = span_is(db_get_span(rows, C_ENVIRONMENT), "live");
    row->disabled = db_get_i64(rows, C_DISABLED) != 0;
    row->suspended = db_get_i64(rows, C_SUSPENDED) != 0;
    row->revoked = !db_is_null(rows, C_REVOKED);
    row->capped = !db_is_null(rows, C_CAP);
    row->customer_active =
        db_is_null(rows, C_DELETED) && !span_is(db_get_span(rows, C_STATUS), "suspended");
    row->permissions = names_join(db_get_span(rows, C_PERMISSIONS), arena);
    row->months = (struct period_rule){db_get_i64(rows, C_ANCHOR), db_get_i64(rows, C_KEPT_START),
                                       db_get_i64(rows, C_KEPT_UNTIL)};
    return keep(rows, C_RATE_LIMITS, arena, &row->rate_limits_json) &&
           keep(rows, C_NETWORKS, arena, &row->networks_json) &&
           keep(rows, C_METADATA, arena, &row->metadata_json) &&
           keep(rows, C_EXTERNAL_ID, arena, &row->external_id) &&
           keep(rows, C_TIER, arena, &row->tier);
}

/* A hash that is asked for: our own of a text, or one that it may have been imported as. */
struct place {
    const unsigned char *hash;
    const struct import_hash *alternate; /* NULL: our own */
    size_t row;
};

static size_t places_fill(const struct key_load *load, struct place places[KEY_LOAD_MAX])
{
    size_t count = 0;
    for (; count < load->count; count++)
        places[count] = (struct place){load->hashes[count], NULL, count};
    for (size_t i = 0; i < load->count; i++) {
        const struct import_hashes *alternates = load->alternates[i];
        for (size_t k = 0; alternates && k < alternates->count && count < KEY_LOAD_MAX; k++)
            places[count++] = (struct place){alternates->of[k].hash, &alternates->of[k], i};
    }
    return count;
}

static bool place_is(const struct place *place, const struct db_rows *rows)
{
    struct span algorithm = db_get_span(rows, C_ALGORITHM);
    struct span hash = db_get_span(rows, C_HASH);
    if (hash.length != 32 || memcmp(place->hash, hash.data, 32) != 0) return false;
    if (!place->alternate) return span_is(algorithm, KEY_HASH_ALGORITHM);
    return (span_is(algorithm, IMPORT_SHA256) || span_is(algorithm, IMPORT_HMAC)) &&
           span_is(db_get_span(rows, C_PEPPER), place->alternate->source);
}

/* Our own hash goes before an imported one. False: no memory. */
static bool row_take(const struct db_rows *rows, const struct place *place, struct arena *arena,
                     struct key_load_row *row)
{
    bool better = !row->found || (row->imported && !place->alternate);
    if (!better) return true;
    row->imported = place->alternate != NULL;
    if (place->alternate) row->imported_as = *place->alternate;
    return row_fill(rows, arena, row);
}

enum err key_load(struct db *db, struct arena *arena, struct key_load *load)
{
    struct db_value values[KEY_LOAD_MAX];
    struct place places[KEY_LOAD_MAX];
    if (!load->count || load->count > KEY_LOAD_MAX) return ERR_INVALID;
    size_t count = places_fill(load, places);
    for (size_t i = 0; i < KEY_LOAD_MAX; i++) /* the last hash fills the places left */
        values[i] = db_bytes(places[i < count ? i : count - 1].hash, 32);
    for (size_t i = 0; i < load->count; i++)
        load->rows[i] = (struct key_load_row){.hash = load->hashes[i]};
    struct db_rows rows;
    enum err error = db_query(db, key_load_sql, values, KEY_LOAD_MAX, &rows);
    if (error) return error;
    load->position = 0;
    while (!error && db_next(&rows)) {
        load->position = db_get_u64(&rows, C_POSITION);
        for (size_t i = 0; i < count && !error; i++)
            if (place_is(&places[i], &rows) &&
                !row_take(&rows, &places[i], arena, &load->rows[places[i].row]))
                error = ERR_NO_MEMORY;
    }
    db_finish(&rows);
    if (error) return error;
    return load->position ? ERR_OK : ERR_DB;
}

bool rate_limits_from_json(struct span json, struct rate_limit *out, unsigned *count)
{
    *count = 0;
    json_t *array = json_loadb(json.data, json.length, 0, NULL);
    bool good = json_is_array(array) && json_array_size(array) <= RATE_LIMITS_MAX;
    size_t index;
    json_t *value;
    json_array_foreach(array, index, value)
    {
        const char *name = json_string_value(json_object_get(value, "name"));
        json_int_t limit = json_integer_value(json_object_get(value, "limit"));
        json_int_t window = json_integer_value(json_object_get(value, "window_seconds"));
        if (!good || !name || strlen(name) >= sizeof out->name || limit <= 0 || window <= 0) {
            good = false;
            break;
        }
        struct rate_limit *at = &out[(*count)++];
        snprintf(at->name, sizeof at->name, "%s", name);
        at->limit = (uint32_t)limit;
        at->window_s = (uint32_t)window;
    }
    json_decref(array);
    return good;
}

static enum err tier_fill(const struct db_rows *rows, struct tier *tier)
{
    struct span slug = db_get_span(rows, 1);
    *tier = (struct tier){.has_quota = !db_is_null(rows, 2),
                          .monthly_quota = db_get_u64(rows, 2),
                          .overage = span_is(db_get_span(rows, 3), "allow") ? OVERAGE_ALLOW
                                                                            : OVERAGE_BLOCK,
                          .ack = span_is(db_get_span(rows, 5), "memory") ? ACK_MEMORY : ACK_COMMIT};
    snprintf(tier->slug, sizeof tier->slug, "%.*s", (int)slug.length, slug.data);
    return rate_limits_from_json(db_get_span(rows, 4), tier->rate_limits, &tier->rate_limit_count)
               ? ERR_OK
               : ERR_DB;
}

enum err tier_load(struct db *db, struct arena *arena, struct tier_load *out)
{
    struct db_rows rows;
    enum err error = db_query(db,
                              "SELECT f.position, t.slug, t.monthly_quota, t.overage, "
                              "t.rate_limits, t.ack FROM feed_head f JOIN tier t WHERE f.id = 1 "
                              "LIMIT 64",
                              DB_NONE, &rows);
    if (error) return error;
    *out = (struct tier_load){.tiers = arena_alloc(arena, TIERS_MAX * sizeof(struct tier))};
    if (!out->tiers) error = ERR_NO_MEMORY;
    while (!error && out->count < TIERS_MAX && db_next(&rows)) {
        out->position = db_get_u64(&rows, 0);
        error = tier_fill(&rows, &out->tiers[out->count++]);
    }
    db_finish(&rows);
    return error;
}
