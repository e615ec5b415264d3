/* The tables payment_read, provider_event and payment_approval. Called by the operations of payment
 * and by the reconciler, on DB threads. What always holds: a row is due or is being read, and an
 * event that was taken has made its customers due in the same transaction. */
#include "store/payment_read.h"

#include "io/db.h"
#include "store/node.h"
#include "store/payment_charge.h"

enum err payment_read_begin(struct db *db, uint64_t customer_id, const char *provider_customer,
                            int64_t read_at)
{
    static const char sql[] =
        "INSERT INTO payment_read (customer_id, provider_customer, read_at) VALUES (?,?,?)"
        " ON DUPLICATE KEY UPDATE provider_customer = VALUES(provider_customer), urgent = 1,"
        " read_at = VALUES(read_at), asked = asked + 1, applied = begun, failures = 0,"
        " charge = NULL, session = NULL";
    return db_execute(
        db, sql, DB_VALUES(db_u64(customer_id), db_text(provider_customer), db_i64(read_at)), NULL);
}

enum err payment_read_rename(struct db *db, uint64_t customer_id, const char *provider_customer)
{
    static const char sql[] = "UPDATE payment_read SET provider_customer = ? WHERE customer_id = ?";
    return db_execute(db, sql, DB_VALUES(db_text(provider_customer), db_u64(customer_id)), NULL);
}

enum err payment_read_end(struct db *db, uint64_t customer_id)
{
    return db_execute(db, "DELETE FROM payment_read WHERE customer_id = ?",
                      DB_VALUES(db_u64(customer_id)), NULL);
}

enum err provider_event_insert(struct db *db, const char *provider, const char *id, int64_t now_ms)
{
    static const char sql[] =
        "INSERT INTO provider_event (provider, id, received_at) VALUES (?,?,?)";
    return db_execute(db, sql, DB_VALUES(db_text(provider), db_text(id), db_i64(now_ms)), NULL);
}

enum { CHARGE_AGAIN_MS = 5000 }; /* of a charge that has to wait for another one */

/* One charge is looked at at a time: a further one does not take its place. */
#define ASK                                                                                        \
    " SET r.urgent = 1, r.read_at = LEAST(r.read_at, ?), r.asked = r.asked + 1,"                   \
    " r.charge = COALESCE(r.charge, ?), r.session = COALESCE(?, r.session)"
#define PAYING    "payment_read r JOIN entitlement e ON e.customer_id = r.customer_id"
#define REFERENCE " WHERE e.provider = ? AND e.resolved_reference = ?"
#define CUSTOMER  " WHERE e.provider = ? AND r.provider_customer = ?"
#define NAMED                                                                                      \
    "customer c JOIN entitlement e ON e.customer_id = c.id JOIN payment_read r"                    \
    " ON r.customer_id = c.id"
#define EXTERNAL " WHERE e.provider = ? AND c.external_id = ?"
#define BUSY     " AND r.charge <> ? LIMIT 1"

/* One way to find those that an event is about. */
struct way {
    const char *ask;
    const char *busy; /* one of them with another charge that waits */
    struct span name;
    bool takes_session;
};

struct asking {
    const char *provider;
    const struct payment_subject *subject;
    int64_t now_ms;
    uint64_t found;
    bool busy;
};

static enum err look_busy(struct db *db, const struct way *way, struct asking *asking)
{
    struct db_rows rows;
    enum err error = db_query(
        db, way->busy,
        DB_VALUES(db_text(asking->provider), db_span(way->name), db_span(asking->subject->charge)),
        &rows);
    if (error || !db_next(&rows)) return error;
    db_finish(&rows);
    asking->busy = true;
    return ERR_OK;
}

static enum err ask_one(struct db *db, const struct way *way, struct asking *asking)
{
    uint64_t changed = 0;
    const struct payment_subject *subject = asking->subject;
    if (!way->name.length) return ERR_OK;
    bool with_session = way->takes_session && subject->session.length;
    struct db_value charge = subject->charge.length ? db_span(subject->charge) : db_null();
    struct db_value session = with_session ? db_span(subject->session) : db_null();
    enum err error = db_execute(db, way->ask,
                                DB_VALUES(db_i64(asking->now_ms), charge, session,
                                          db_text(asking->provider), db_span(way->name)),
                                &changed);
    asking->found += changed;
    return error || !changed || !subject->charge.length ? error : look_busy(db, way, asking);
}

enum err payment_read_ask(struct db *db, const char *provider,
                          const struct payment_subject *subject, int64_t now_ms, uint64_t *found)
{
    /* A session is for whom it says it is, and not for others that the same one pays for. */
    const struct way by_reference = {"UPDATE " PAYING ASK REFERENCE,
                                     "SELECT 1 FROM " PAYING REFERENCE BUSY, subject->reference,
                                     false};
    const struct way by_customer = {"UPDATE " PAYING ASK CUSTOMER,
                                    "SELECT 1 FROM " PAYING CUSTOMER BUSY, subject->customer,
                                    false};
    const struct way by_external = {"UPDATE " NAMED ASK EXTERNAL,
                                    "SELECT 1 FROM " NAMED EXTERNAL BUSY, subject->external_id,
                                    true};
    struct asking asking = {.provider = provider, .subject = subject, .now_ms = now_ms};
    enum err error = ask_one(db, &by_reference, &asking);
    if (!error && !asking.found) error = ask_one(db, &by_customer, &asking);
    if (!error && (!asking.found || subject->session.length))
        error = ask_one(db, &by_external, &asking);
    if (!error && asking.busy)
        error = payment_charge_ask(db, provider, subject->charge, now_ms + CHARGE_AGAIN_MS);
    *found = asking.found;
    return error;
}

enum err payment_read_applied(struct db *db, uint64_t customer_id, uint64_t ticket, uint64_t asked,
                              bool looked, int64_t next_at)
{
    /* In the order written: each assignment sees those before it. */
    static const char sql[] = "UPDATE payment_read SET failures = 0,"
                              " read_at = IF(begun = ? AND asked = ?, ?, read_at),"
                              " charge = IF(begun = ? AND asked = ?, NULL, charge),"
                              " session = IF(begun = ? AND asked = ? AND ?, NULL, session),"
                              " urgent = IF(begun = ? AND asked = ?, 0, urgent), applied = ?"
                              " WHERE customer_id = ? AND applied < ?";
    uint64_t changed = 0;
    struct db_value mine = db_u64(ticket), seen = db_u64(asked);
    enum err error =
        db_execute(db, sql,
                   DB_VALUES(mine, seen, db_i64(next_at), mine, seen, mine, seen, db_i64(looked),
                             mine, seen, mine, db_u64(customer_id), mine),
                   &changed);
    return error ? error : changed ? ERR_OK : ERR_NOT_FOUND;
}

enum err payment_read_failed(struct db *db, uint64_t customer_id, uint64_t ticket, int64_t next_at)
{
    static const char sql[] = "UPDATE payment_read SET failures = failures + 1, read_at = ?"
                              " WHERE customer_id = ? AND begun = ?";
    return db_execute(db, sql, DB_VALUES(db_i64(next_at), db_u64(customer_id), db_u64(ticket)),
                      NULL);
}

enum err payment_approval_insert(struct db *db, const struct payment_approval_row *row)
{
    static const char sql[] =
        "INSERT INTO payment_approval (id, customer_id, tier, until, note, created_at, created_by)"
        " VALUES (?,?,?,?,?,?,?)";
    return db_execute(db, sql,
                      DB_VALUES(db_u64(row->id), db_u64(row->customer_id), db_text(row->tier),
                                db_i64(row->until), db_text(row->note), db_i64(row->created_at),
                                db_text(row->created_by)),
                      NULL);
}

/* ---- for the reconciler ---- */

#define DUE                                                                                        \
    "SELECT r.customer_id, r.begun, r.asked, c.external_id, e.provider, e.resolved_reference,"     \
    " e.paid_tier, r.charge, r.failures, r.urgent, r.session FROM payment_read r"                  \
    " JOIN entitlement e ON e.customer_id = r.customer_id JOIN customer c ON c.id = r.customer_id"
#define WHOSE                                                                                      \
    " AND e.provider = ? AND (e.resolved_reference IS NOT NULL OR e.provider = 'http')"            \
    " AND c.deleted_at IS NULL"

static bool due_read(const struct db_rows *rows, struct arena *arena, struct payment_due *due)
{
    *due = (struct payment_due){
        .customer_id = db_get_u64(rows, 0),
        .ticket = db_get_u64(rows, 1),
        .asked = db_get_u64(rows, 2),
        .external_id = db_get_text(rows, 3, arena),
        .provider = db_get_text(rows, 4, arena),
        .reference = db_get_text(rows, 5, arena),
        .paid_tier = db_get_text(rows, 6, arena),
        .charge = db_get_text(rows, 7, arena),
        .failures = (uint32_t)db_get_u64(rows, 8),
        .urgent = db_get_i64(rows, 9) != 0,
        .session = db_get_text(rows, 10, arena),
    };
    return due->external_id && due->provider && due->paid_tier;
}

static enum err collect(struct db *db, const char *sql, const struct db_value *values,
                        size_t value_count, size_t limit, struct arena *arena,
                        struct payment_due *due, size_t *count)
{
    struct db_rows rows;
    enum err error = db_query(db, sql, values, value_count, &rows);
    if (error) return error;
    while (!error && *count < limit && db_next(&rows))
        error = due_read(&rows, arena, &due[(*count)++]) ? ERR_OK : ERR_NO_MEMORY;
    db_finish(&rows);
    return error;
}

/* Theirs to be read from here on. Rows that somebody else took meanwhile are passed over; those
 * that an event asked for meanwhile too, which are due still: or else this reading would not be
 * known to answer it, and the row would come again when its lease is over. */
static enum err begin_each(struct db *db, int64_t now_ms, struct payment_due *due, size_t *count)
{
    static const char sql[] = "UPDATE payment_read SET begun = begun + 1, read_at = ?"
                              " WHERE customer_id = ? AND begun = ? AND asked = ?";
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        uint64_t changed = 0;
        enum err error =
            db_execute(db, sql,
                       DB_VALUES(db_i64(now_ms + PAYMENT_READ_LEASE_MS), db_u64(due[i].customer_id),
                                 db_u64(due[i].ticket), db_u64(due[i].asked)),
                       &changed);
        if (error) return error;
        due[i].ticket++;
        if (changed) due[kept++] = due[i];
    }
    *count = kept;
    return ERR_OK;
}

static enum err ended(struct db *db, enum err error)
{
    if (!error) return db_commit(db);
    db_rollback(db);
    return error;
}

enum err payment_read_claim(struct db *db, unsigned node, unsigned incarnation,
                            const char *provider, int64_t now_ms, int64_t latest_ms, size_t limit,
                            struct arena *arena, struct payment_due **due, size_t *count)
{
    static const char by_urgency[] =
        DUE " WHERE r.urgent = ? AND r.read_at <= ?" WHOSE " ORDER BY r.read_at LIMIT ?";
    static const char too_late[] =
        DUE " WHERE r.urgent IN (0, 1) AND r.read_at > ?" WHOSE " ORDER BY r.read_at LIMIT ?";
    *count = 0;
    *due = arena_alloc(arena, (limit + 1) * sizeof **due);
    if (!*due) return ERR_NO_MEMORY;
    enum err error = db_begin(db);
    if (!error) error = node_hold(db, node, incarnation);
    for (int urgent = 1; !error && urgent >= !latest_ms && *count < limit; urgent--)
        error = collect(
            db, by_urgency,
            DB_VALUES(db_i64(urgent), db_i64(now_ms), db_text(provider), db_u64(limit - *count)),
            limit, arena, *due, count);
    if (!error && latest_ms && *count < limit)
        error = collect(db, too_late,
                        DB_VALUES(db_i64(latest_ms), db_text(provider), db_u64(limit - *count)),
                        limit, arena, *due, count);
    if (!error) error = begin_each(db, now_ms, *due, count);
    if (!error && *count < limit)
        error = payment_charge_claim(db, provider, now_ms, latest_ms, limit, arena, *due, count);
    return ended(db, error);
}

enum err payment_read_page(struct db *db, unsigned node, unsigned incarnation, const char *provider,
                           uint64_t after, bool begin, int64_t now_ms, size_t limit,
                           struct arena *arena, struct payment_due **due, size_t *count,
                           uint64_t *last)
{
    static const char by_id[] =
        DUE " WHERE r.customer_id > ?" WHOSE " ORDER BY r.customer_id LIMIT ?";
    *count = 0;
    *due = arena_alloc(arena, (limit + 1) * sizeof **due);
    if (!*due) return ERR_NO_MEMORY;
    enum err error = db_begin(db);
    if (!error) error = node_hold(db, node, incarnation);
    if (!error)
        error = collect(db, by_id, DB_VALUES(db_u64(after), db_text(provider), db_u64(limit)),
                        limit, arena, *due, count);
    /* Those that are passed over do not end the pages. */
    *last = !error && *count == limit ? (*due)[limit - 1].customer_id : 0;
    if (!error && begin) error = begin_each(db, now_ms, *due, count);
    return ended(db, error);
}

enum err payment_read_count(struct db *db, const char *provider, size_t at_most, uint64_t *count)
{
    static const char sql[] =
        "SELECT COUNT(*) FROM (SELECT 1 FROM payment_read r"
        " JOIN entitlement e ON e.customer_id = r.customer_id"
        " JOIN customer c ON c.id = r.customer_id WHERE r.customer_id > 0" WHOSE " LIMIT ?) paid";
    struct db_rows rows;
    *count = 0;
    enum err error = db_query(db, sql, DB_VALUES(db_text(provider), db_u64(at_most)), &rows);
    if (error) return error;
    if (db_next(&rows)) {
        *count = db_get_u64(&rows, 0);
        db_finish(&rows);
    }
    return ERR_OK;
}

enum err payment_read_waiting(struct db *db, int64_t now_ms, size_t at_most, uint64_t *count,
                              int64_t *oldest_at)
{
    static const char sql[] = "SELECT COUNT(*), MIN(read_at) FROM (SELECT read_at FROM payment_read"
                              " WHERE urgent IN (0, 1) AND read_at <= ? LIMIT ?) waiting";
    struct db_rows rows;
    *count = 0;
    *oldest_at = 0;
    enum err error = db_query(db, sql, DB_VALUES(db_i64(now_ms), db_u64(at_most)), &rows);
    if (error) return error;
    if (db_next(&rows)) {
        *count = db_get_u64(&rows, 0);
        *oldest_at = db_get_i64(&rows, 1);
        db_finish(&rows);
    }
    return ERR_OK;
}
