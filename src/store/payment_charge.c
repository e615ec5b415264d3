/* The table payment_charge. Called by taking an event, by the reconciler's claim and by what its
 * readings came to. What always holds: a row goes in the transaction that makes its customer due,
 * so an event about it is not lost on the way. */
#include "store/payment_charge.h"

#include "io/db.h"

enum err payment_charge_ask(struct db *db, const char *provider, struct span id, int64_t read_at)
{
    static const char sql[] = "INSERT INTO payment_charge (provider, id, read_at) VALUES (?,?,?)"
                              " ON DUPLICATE KEY UPDATE read_at = VALUES(read_at)";
    return db_execute(db, sql, DB_VALUES(db_text(provider), db_span(id), db_i64(read_at)), NULL);
}

enum err payment_charge_end(struct db *db, const struct payment_due *due)
{
    static const char sql[] =
        "DELETE FROM payment_charge WHERE provider = ? AND id = ? AND begun = ?";
    uint64_t changed = 0;
    enum err error = db_execute(
        db, sql, DB_VALUES(db_text(due->provider), db_text(due->charge), db_u64(due->ticket)),
        &changed);
    return error ? error : changed ? ERR_OK : ERR_NOT_FOUND;
}

enum err payment_charge_failed(struct db *db, const struct payment_due *due, int64_t next_at)
{
    static const char sql[] = "UPDATE payment_charge SET failures = failures + 1, read_at = ?"
                              " WHERE provider = ? AND id = ? AND begun = ?";
    return db_execute(db, sql,
                      DB_VALUES(db_i64(next_at), db_text(due->provider), db_text(due->charge),
                                db_u64(due->ticket)),
                      NULL);
}

static enum err begin(struct db *db, const struct payment_due *due, int64_t now_ms, bool *mine)
{
    static const char sql[] = "UPDATE payment_charge SET begun = begun + 1, read_at = ?"
                              " WHERE provider = ? AND id = ? AND begun = ?";
    uint64_t changed = 0;
    enum err error =
        db_execute(db, sql,
                   DB_VALUES(db_i64(now_ms + PAYMENT_READ_LEASE_MS), db_text(due->provider),
                             db_text(due->charge), db_u64(due->ticket - 1)),
                   &changed);
    *mine = changed != 0;
    return error;
}

enum err payment_charge_claim(struct db *db, const char *provider, int64_t now_ms,
                              int64_t latest_ms, size_t limit, struct arena *arena,
                              struct payment_due *due, size_t *count)
{
    static const char sql[] = "SELECT id, begun, failures FROM payment_charge"
                              " WHERE (read_at <= ? OR read_at > ?) AND provider = ?"
                              " ORDER BY read_at LIMIT ?";
    struct db_rows rows;
    size_t found = *count;
    enum err error = db_query(db, sql,
                              DB_VALUES(db_i64(now_ms), db_i64(latest_ms ? latest_ms : INT64_MAX),
                                        db_text(provider), db_u64(limit - *count)),
                              &rows);
    if (error) return error;
    while (!error && found < limit && db_next(&rows)) {
        due[found] = (struct payment_due){.provider = provider,
                                          .charge = db_get_text(&rows, 0, arena),
                                          .ticket = db_get_u64(&rows, 1) + 1,
                                          .failures = (uint32_t)db_get_u64(&rows, 2),
                                          .urgent = true};
        if (!due[found++].charge) error = ERR_NO_MEMORY;
    }
    db_finish(&rows);
    for (size_t i = *count; !error && i < found; i++) {
        bool mine;
        error = begin(db, &due[i], now_ms, &mine);
        if (!error && mine) due[(*count)++] = due[i];
    }
    return error;
}
