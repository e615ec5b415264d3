/* Reading customers for answers. Called by operations behind their change and by jobs of
 * service->readers, on a DB thread. What always holds: an erased customer is not shown, and what
 * was opened lives in the job's arena only. */
#include "store/customer_view.h"

#include "base/buf.h"
#include "core/period.h"
#include "crypto/envelope.h"
#include "io/db.h"
#include "store/usage_snapshot.h"

enum column {
    C_ID,
    C_EXTERNAL,
    C_EMAIL,
    C_NAME,
    C_METADATA,
    C_CREATED,
    C_TIER,
    C_PROVIDER,
    C_REFERENCE,
    C_STATUS,
    C_PERIOD_START,
    C_PERIOD_END,
    C_GRACE,
    C_QUOTA,
    C_ANCHOR,
    C_KEPT_START,
    C_KEPT_UNTIL,
    C_PAYMENT_STATUS,
    C_LATER_TIER,
    C_LATER_AT,
    C_PAID_TIER,
    C_LANGUAGE,
    C_SMIME_CBC,
    C_UPDATED,
    C_KEYS, /* fingerprint and end, of each kind */
};

enum err customer_open(const struct keyring *keyring, const char *column, uint64_t id,
                       struct span sealed, struct arena *arena, const char **out)
{
    struct buf plain CLEANUP(buf_done) = {0};
    *out = NULL;
    if (!sealed.data) return ERR_OK;
    enum err error = envelope_open(keyring, column, id, sealed, &plain);
    if (error) return error;
    *out = arena_copy(arena, buf_span(&plain));
    return *out ? ERR_OK : ERR_NO_MEMORY;
}

static struct span sealed_get(const struct db_rows *rows, enum column column)
{
    return db_is_null(rows, column) ? (struct span){0} : db_get_span(rows, column);
}

static enum err view_fill(const struct db_rows *rows, const struct keyring *keyring, int64_t now_ms,
                          struct arena *arena, struct customer_view *view)
{
    struct period_rule months = {db_get_i64(rows, C_ANCHOR), db_get_i64(rows, C_KEPT_START),
                                 db_get_i64(rows, C_KEPT_UNTIL)};
    *view = (struct customer_view){
        .id = db_get_u64(rows, C_ID),
        .external_id = db_get_text(rows, C_EXTERNAL, arena),
        .metadata = db_get_text(rows, C_METADATA, arena),
        .language = db_get_text(rows, C_LANGUAGE, arena),
        .keys.smime_cbc = db_get_i64(rows, C_SMIME_CBC) != 0,
        .created_at = db_get_i64(rows, C_CREATED),
        .updated_at = db_get_i64(rows, C_UPDATED),
        .entitlement = {.customer_id = db_get_u64(rows, C_ID),
                        .tier = db_get_text(rows, C_TIER, arena),
                        .provider = db_get_text(rows, C_PROVIDER, arena),
                        .reference = db_get_text(rows, C_REFERENCE, arena),
                        .status = db_get_text(rows, C_STATUS, arena),
                        .period_start = db_get_i64(rows, C_PERIOD_START),
                        .period_end = db_get_i64(rows, C_PERIOD_END),
                        .grace_until = db_get_i64(rows, C_GRACE),
                        .payment_status = db_get_text(rows, C_PAYMENT_STATUS, arena),
                        .later_tier = db_get_text(rows, C_LATER_TIER, arena),
                        .paid_tier = db_get_text(rows, C_PAID_TIER, arena),
                        .later_at = db_get_i64(rows, C_LATER_AT),
                        .months = months},
        .has_quota = !db_is_null(rows, C_QUOTA),
        .quota = db_get_u64(rows, C_QUOTA),
        .period = period_at(&months, now_ms),
    };
    if (!view->metadata || !view->entitlement.tier || !view->entitlement.provider ||
        !view->entitlement.status)
        return ERR_NO_MEMORY;
    for (unsigned kind = 0; kind < MAIL_KEY_KINDS; kind++) {
        view->keys.of[kind].fingerprint = db_get_text(rows, C_KEYS + 2 * kind, arena);
        view->keys.of[kind].ends_at = db_get_i64(rows, C_KEYS + 2 * kind + 1);
    }
    enum err error = customer_open(keyring, CUSTOMER_EMAIL, view->id, sealed_get(rows, C_EMAIL),
                                   arena, &view->email);
    return error ? error
                 : customer_open(keyring, CUSTOMER_NAME, view->id, sealed_get(rows, C_NAME), arena,
                                 &view->name);
}

#define CUSTOMERS                                                                                  \
    " c.id, c.external_id, c.email_sealed, c.name_sealed, c.metadata, c.created_at,"               \
    " e.tier, e.provider, e.reference, e.status, e.period_start, e.period_end, e.grace_until,"     \
    " t.monthly_quota, e.anchor, e.kept_start, e.kept_until, e.payment_status, e.later_tier,"      \
    " e.later_at, e.paid_tier, c.language, c.smime_cbc, c.updated_at,"                             \
    " c.openpgp_fingerprint, c.openpgp_ends_at, c.smime_fingerprint, c.smime_ends_at"              \
    " FROM customer c"                                                                             \
    " JOIN entitlement e ON e.customer_id = c.id JOIN tier t ON t.slug = e.tier"                   \
    " WHERE c.deleted_at IS NULL AND (? IS NULL OR c.id = ?)"                                      \
    " AND (? IS NULL OR c.external_id = ?) AND (? IS NULL OR c.email_index = ?)"                   \
    " AND (? IS NULL OR e.tier = ?)"

#define NEWEST " AND (? = 0 OR c.id < ?) ORDER BY c.id DESC LIMIT ?"
#define OLDEST " AND c.id > GREATEST(?, ?) ORDER BY c.id LIMIT ?"

/* The parameters stand for constants when the server plans, so "(? IS NULL OR …)" costs nothing. */
static enum err list_query(struct db *db, const struct customer_filter *filter,
                           struct db_rows *rows)
{
    /* Without a tier the newest customers are walked; left alone, the server would begin with the
     * few tiers and sort all customers. With one, it walks the index of that tier. */
    static const char *const walked[] = {"SELECT STRAIGHT_JOIN" CUSTOMERS NEWEST,
                                         "SELECT STRAIGHT_JOIN" CUSTOMERS OLDEST};
    static const char *const of_tier[] = {"SELECT" CUSTOMERS NEWEST, "SELECT" CUSTOMERS OLDEST};
    const char *sql = (filter->tier.data ? of_tier : walked)[filter->oldest_first];
    struct db_value id = filter->name.id ? db_u64(filter->name.id) : db_null();
    bool by_external = !filter->name.id && filter->name.external_id.data;
    struct db_value external = by_external ? db_span(filter->name.external_id) : db_null();
    struct db_value email =
        filter->email_index ? db_bytes(filter->email_index, BLIND_INDEX_SIZE) : db_null();
    struct db_value tier = filter->tier.data ? db_span(filter->tier) : db_null();
    struct db_value before = db_u64(filter->before);
    return db_query(db, sql,
                    DB_VALUES(id, id, external, external, email, email, tier, tier, before, before,
                              db_u64(filter->limit)),
                    rows);
}

enum err customer_view_list(struct db *db, const struct keyring *keyring,
                            const struct customer_filter *filter, int64_t now_ms,
                            struct arena *arena, struct customer_view **views, size_t *count)
{
    struct db_rows rows;
    *count = 0;
    *views = arena_alloc(arena, filter->limit * sizeof **views);
    if (!*views) return ERR_NO_MEMORY;
    enum err error = list_query(db, filter, &rows);
    if (error) return error;
    while (!error && *count < filter->limit && db_next(&rows))
        error = view_fill(&rows, keyring, now_ms, arena, &(*views)[(*count)++]);
    db_finish(&rows);
    return error;
}

static enum err read_folded(struct db *db, struct customer_view *view)
{
    struct db_rows rows;
    enum err error =
        db_query(db, "SELECT used FROM budget WHERE kind = 1 AND subject = ? AND period_start = ?",
                 DB_VALUES(db_u64(view->id), db_i64(view->period.start_ms)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_OK;
    view->used = db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}

enum err customer_view_find(struct db *db, const struct keyring *keyring,
                            const struct customer_name *name, int64_t now_ms, struct arena *arena,
                            struct customer_view *view)
{
    struct customer_filter filter = {.name = *name, .limit = 1};
    struct customer_view *found;
    size_t count;
    enum err error = customer_view_list(db, keyring, &filter, now_ms, arena, &found, &count);
    if (error) return error;
    if (!count) return ERR_NOT_FOUND;
    *view = *found;
    return read_folded(db, view);
}

enum err customer_view_count(struct db *db, struct customer_view *views, size_t count,
                             struct arena *arena)
{
    if (!count) return ERR_OK;
    struct usage_subject *subjects = arena_alloc(arena, count * sizeof *subjects);
    if (!subjects) return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        subjects[i] =
            (struct usage_subject){USAGE_CUSTOMER, views[i].id, views[i].period.start_ms, 0};
    enum err error = usage_used_many(db, subjects, count);
    for (size_t i = 0; !error && i < count; i++)
        views[i].used = subjects[i].used;
    return error;
}
