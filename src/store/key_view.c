/* Reading keys for answers. Called by operations behind their change and by jobs of
 * service->readers, on a DB thread. What always holds: a status shown comes from core/key_status.h;
 * the filter by status says the same in SQL (store/key_search.c; a test compares the two). */
#include "store/key_view.h"

#include "core/period.h"
#include "core/rotation.h"
#include "io/db.h"
#include "store/usage_snapshot.h"

#define SELECT_KEYS                                                                                \
    "SELECT k.id, k.customer_id, k.title, k.description, k.environment, k.label, k.permissions,"   \
    " k.rate_limits, k.allowed_networks, k.metadata, k.monthly_cap, k.disabled, k.suspended,"      \
    " k.revoked_at, k.expires_at, k.rotates_at, k.secret_version, k.created_at, k.updated_at,"     \
    " e.tier, e.status = 'suspended', s.start, s.fingerprint, e.anchor, e.kept_start,"             \
    " e.kept_until, k.rotation_off"                                                                \
    " FROM api_key k JOIN entitlement e ON e.customer_id = k.customer_id"                          \
    " LEFT JOIN key_secret s ON s.key_id = k.id AND s.version = k.secret_version"

enum column {
    C_ID,
    C_CUSTOMER,
    C_TITLE,
    C_DESCRIPTION,
    C_ENVIRONMENT,
    C_LABEL,
    C_PERMISSIONS,
    C_RATE_LIMITS,
    C_NETWORKS,
    C_METADATA,
    C_CAP,
    C_DISABLED,
    C_SUSPENDED,
    C_REVOKED,
    C_EXPIRES,
    C_ROTATES,
    C_VERSION,
    C_CREATED,
    C_UPDATED,
    C_TIER,
    C_CUSTOMER_SUSPENDED,
    C_START,
    C_FINGERPRINT,
    C_ANCHOR,
    C_KEPT_START,
    C_KEPT_UNTIL,
    C_ROTATION_OFF,
};

static void copy_short(char *out, size_t size, struct span text)
{
    size_t length = text.length < size ? text.length : size - 1;
    memcpy(out, text.data ? text.data : "", length);
    out[length] = '\0';
}

static bool view_fill(const struct db_rows *rows, int64_t now_ms, struct arena *arena,
                      struct key_view *view)
{
    struct period_rule months = {db_get_i64(rows, C_ANCHOR), db_get_i64(rows, C_KEPT_START),
                                 db_get_i64(rows, C_KEPT_UNTIL)};
    *view = (struct key_view){
        .row = {.id = db_get_u64(rows, C_ID),
                .customer_id = db_get_u64(rows, C_CUSTOMER),
                .title = db_get_text(rows, C_TITLE, arena),
                .description = db_get_text(rows, C_DESCRIPTION, arena),
                .environment = db_get_text(rows, C_ENVIRONMENT, arena),
                .label = db_get_text(rows, C_LABEL, arena),
                .permissions = db_get_text(rows, C_PERMISSIONS, arena),
                .rate_limits = db_get_text(rows, C_RATE_LIMITS, arena),
                .allowed_networks = db_get_text(rows, C_NETWORKS, arena),
                .metadata = db_get_text(rows, C_METADATA, arena),
                .has_monthly_cap = !db_is_null(rows, C_CAP),
                .monthly_cap = db_get_u64(rows, C_CAP),
                .disabled = db_get_i64(rows, C_DISABLED) != 0,
                .suspended =
                    db_get_i64(rows, C_SUSPENDED) || db_get_i64(rows, C_CUSTOMER_SUSPENDED),
                .revoked_at = db_get_i64(rows, C_REVOKED),
                .expires_at = db_get_i64(rows, C_EXPIRES),
                .rotates_at = db_get_i64(rows, C_ROTATES),
                .rotation_off = db_get_i64(rows, C_ROTATION_OFF) != 0,
                .secret_version = (uint32_t)db_get_u64(rows, C_VERSION),
                .created_at = db_get_i64(rows, C_CREATED),
                .updated_at = db_get_i64(rows, C_UPDATED)},
        .tier = db_get_text(rows, C_TIER, arena),
        .period = period_at(&months, now_ms),
    };
    copy_short(view->start, sizeof view->start, db_get_span(rows, C_START));
    copy_short(view->fingerprint, sizeof view->fingerprint, db_get_span(rows, C_FINGERPRINT));
    const struct api_key_row *row = &view->row;
    return row->title && row->description && row->environment && row->label && row->permissions &&
           row->rate_limits && row->allowed_networks && row->metadata && view->tier;
}

/* The working secrets, the newest use, and the status that follows. */
static enum err read_secrets(struct db *db, struct key_view *view, int64_t now_ms)
{
    static const char sql[] =
        "SELECT s.version, s.start, s.created_at, s.expires_at, u.last_used_at, u.network, r.due_at"
        " FROM key_secret s LEFT JOIN secret_last_used u ON u.secret_id = s.id"
        " LEFT JOIN rotation r ON r.key_id = s.key_id AND r.generation = s.version AND r.step = 3"
        " AND r.look_at IS NOT NULL WHERE s.key_id = ? ORDER BY s.version DESC";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(view->row.id)), &rows);
    if (error) return error;
    int64_t overlap_until = 0;
    while (db_next(&rows)) {
        struct key_secret_view secret = {.version = (uint32_t)db_get_u64(&rows, 0),
                                         .created_at = db_get_i64(&rows, 2),
                                         .expires_at = db_get_i64(&rows, 3),
                                         .last_used_at = db_get_i64(&rows, 4)};
        copy_short(secret.start, sizeof secret.start, db_get_span(&rows, 1));
        if (secret.last_used_at > view->last_used_at) {
            struct span network = db_get_span(&rows, 5);
            view->last_used_at = secret.last_used_at;
            view->last_network.length = (unsigned)network.length;
            if (network.length <= sizeof view->last_network.bytes && network.length)
                memcpy(view->last_network.bytes, network.data, network.length);
        }
        if (secret.expires_at && secret.expires_at <= now_ms) continue;
        if (secret.expires_at > overlap_until) overlap_until = secret.expires_at;
        if (secret.expires_at == SECRET_END_OPEN) secret.expires_at = db_get_i64(&rows, 6);
        if (view->secret_count < KEY_SECRETS_MAX) view->secrets[view->secret_count++] = secret;
    }
    struct key_facts facts = {.revoked = view->row.revoked_at != 0,
                              .suspended = view->row.suspended,
                              .disabled = view->row.disabled,
                              .expires_at = view->row.expires_at,
                              .overlap_until = overlap_until};
    view->status = key_status(&facts, now_ms);
    return ERR_OK;
}

static enum err read_folded(struct db *db, struct key_view *view)
{
    static const char sql[] = "SELECT CAST(COALESCE(SUM(units), 0) AS SIGNED) FROM usage_hour"
                              " WHERE key_id = ? AND hour >= ? AND period_start = ?";
    struct db_rows rows;
    enum err error =
        db_query(db, sql,
                 DB_VALUES(db_u64(view->row.id), db_i64(period_hour_start(view->period.start_ms)),
                           db_i64(view->period.start_ms)),
                 &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_DB;
    int64_t used = db_get_i64(&rows, 0);
    view->used = used > 0 ? (uint64_t)used : 0;
    db_finish(&rows);
    return ERR_OK;
}

enum err key_view_find(struct db *db, uint64_t id, int64_t now_ms, struct arena *arena,
                       struct key_view *view)
{
    static const char sql[] = SELECT_KEYS " WHERE k.id = ?";
    struct db_rows rows;
    enum err error = db_query(db, sql, DB_VALUES(db_u64(id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    bool whole = view_fill(&rows, now_ms, arena, view);
    db_finish(&rows);
    if (!whole) return ERR_NO_MEMORY;
    error = read_secrets(db, view, now_ms);
    return error ? error : read_folded(db, view);
}

void key_view_of_new(struct key_view *view, const struct api_key_row *row,
                     const struct key_secret_row *secret, const char *tier,
                     const struct period_rule *months, int64_t now_ms)
{
    struct key_facts facts = {.expires_at = row->expires_at};
    *view = (struct key_view){.row = *row,
                              .tier = tier,
                              .status = key_status(&facts, now_ms),
                              .period = period_at(months, now_ms)};
    if (!secret) return;
    view->secrets[view->secret_count++] =
        (struct key_secret_view){secret->version, {0}, secret->created_at, 0, 0};
    copy_short(view->start, sizeof view->start, span_text(secret->start));
    copy_short(view->secrets[0].start, sizeof view->secrets[0].start, span_text(secret->start));
    copy_short(view->fingerprint, sizeof view->fingerprint, span_text(secret->fingerprint));
}

enum { READ_AT_ONCE = 64 };

/* So many of the ids; the last one fills the places left. */
static enum err read_some(struct db *db, const uint64_t *ids, size_t count, bool oldest_first,
                          int64_t now_ms, struct arena *arena, struct key_view *views)
{
#define EIGHT_MARKS "?,?,?,?,?,?,?,?"
#define ALL_MARKS                                                                                  \
    EIGHT_MARKS "," EIGHT_MARKS "," EIGHT_MARKS "," EIGHT_MARKS "," EIGHT_MARKS "," EIGHT_MARKS    \
                "," EIGHT_MARKS "," EIGHT_MARKS
    static const char *const sql[] = {
        SELECT_KEYS " WHERE k.id IN (" ALL_MARKS ") ORDER BY k.id DESC",
        SELECT_KEYS " WHERE k.id IN (" ALL_MARKS ") ORDER BY k.id",
    };
    struct db_value values[READ_AT_ONCE];
    struct db_rows rows;
    for (size_t i = 0; i < READ_AT_ONCE; i++)
        values[i] = db_u64(ids[i < count ? i : count - 1]);
    enum err error = db_query(db, sql[oldest_first], values, READ_AT_ONCE, &rows);
    if (error) return error;
    size_t at = 0;
    bool whole = true;
    while (whole && at < count && db_next(&rows))
        whole = view_fill(&rows, now_ms, arena, &views[at++]);
    db_finish(&rows);
    if (!whole) return ERR_NO_MEMORY;
    return at == count ? ERR_OK : ERR_DB;
}

enum err key_view_list(struct db *db, const struct key_filter *filter, int64_t now_ms,
                       struct arena *arena, struct key_view **views, size_t *count, uint64_t *next)
{
    uint64_t *ids;
    enum err error = key_search(db, filter, now_ms, arena, &ids, count, next);
    if (error || !*count) return error;
    *views = arena_alloc(arena, *count * sizeof **views);
    if (!*views) return ERR_NO_MEMORY;
    for (size_t at = 0; !error && at < *count; at += READ_AT_ONCE) {
        size_t some = *count - at < READ_AT_ONCE ? *count - at : READ_AT_ONCE;
        error = read_some(db, ids + at, some, filter->oldest_first, now_ms, arena, *views + at);
    }
    for (size_t i = 0; !error && i < *count; i++)
        error = read_secrets(db, &(*views)[i], now_ms);
    return error;
}

enum err key_view_count(struct db *db, struct key_view *views, size_t count, struct arena *arena)
{
    if (!count) return ERR_OK;
    struct usage_subject *subjects = arena_alloc(arena, count * sizeof *subjects);
    if (!subjects) return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        subjects[i] =
            (struct usage_subject){USAGE_KEY, views[i].row.id, views[i].period.start_ms, 0};
    enum err error = usage_used_many(db, subjects, count);
    for (size_t i = 0; !error && i < count; i++)
        views[i].used = subjects[i].used;
    return error;
}
