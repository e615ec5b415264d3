/* Keys for encrypted mail in the customer's row. Called by whatever makes mails, on any DB thread,
 * and by the operations that set them. What always holds: the texts stand sealed, because a user
 * id holds a name and an address; and encryption_tell_at is the earliest end still to be told. */
#include "store/customer_keys.h"

#include "core/period.h"
#include "crypto/envelope.h"
#include "io/db.h"

static const char *const contexts[MAIL_KEY_KINDS] = {
    [MAIL_KEY_OPENPGP] = "customer.openpgp",
    [MAIL_KEY_SMIME] = "customer.smime",
};

int64_t customer_key_tell_at(const struct customer_key *key)
{
    return key->ends_at ? key->ends_at - CUSTOMER_KEYS_TELL_DAYS * DAY_MS : 0;
}

static enum err key_open(const struct keyring *keyring, uint64_t id, unsigned kind,
                         struct span sealed, struct arena *arena, struct span *text)
{
    CLEANUP(buf_done) struct buf plain = {0};
    enum err error = envelope_open(keyring, contexts[kind], id, sealed, &plain);
    if (error) return error;
    *text = span_of(arena_copy(arena, buf_span(&plain)), plain.length);
    return text->data ? ERR_OK : ERR_NO_MEMORY;
}

/* The columns from `column` on: fingerprint and end of the one, then of the other, and the form. */
static void ends_read(const struct db_rows *rows, size_t column, struct arena *arena,
                      struct customer_keys *keys)
{
    for (unsigned kind = 0; kind < MAIL_KEY_KINDS; kind++) {
        keys->of[kind].fingerprint = db_get_text(rows, column + 2 * kind, arena);
        keys->of[kind].ends_at = db_get_i64(rows, column + 2 * kind + 1);
    }
    keys->smime_cbc = db_get_i64(rows, column + 2 * (size_t)MAIL_KEY_KINDS) != 0;
}

enum err customer_keys_find(struct db *db, const struct keyring *keyring, uint64_t id,
                            struct arena *arena, struct customer_keys *keys)
{
    static const char sql[] =
        "SELECT openpgp_sealed, smime_sealed, openpgp_fingerprint, openpgp_ends_at,"
        " smime_fingerprint, smime_ends_at, smime_cbc FROM customer WHERE id = ?"
        " AND deleted_at IS NULL";
    struct db_rows rows;
    *keys = (struct customer_keys){0};
    enum err error = db_query(db, sql, DB_VALUES(db_u64(id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    ends_read(&rows, 2, arena, keys);
    for (unsigned kind = 0; kind < MAIL_KEY_KINDS && !error; kind++)
        if (!db_is_null(&rows, kind))
            error =
                key_open(keyring, id, kind, db_get_span(&rows, kind), arena, &keys->of[kind].text);
    db_finish(&rows);
    return error;
}

enum err customer_keys_ends(struct db *db, uint64_t id, struct arena *arena,
                            struct customer_keys *keys)
{
    static const char sql[] =
        "SELECT openpgp_fingerprint, openpgp_ends_at, smime_fingerprint,"
        " smime_ends_at, smime_cbc FROM customer WHERE id = ? AND deleted_at IS NULL";
    struct db_rows rows;
    *keys = (struct customer_keys){0};
    enum err error = db_query(db, sql, DB_VALUES(db_u64(id)), &rows);
    if (error) return error;
    if (!db_next(&rows)) return ERR_NOT_FOUND;
    ends_read(&rows, 0, arena, keys);
    db_finish(&rows);
    return ERR_OK;
}

/* The earliest end to be told behind `after_ms`; NULL: none. */
static struct db_value next_tell(const struct customer_keys *keys, int64_t after_ms)
{
    int64_t first = 0;
    for (unsigned kind = 0; kind < MAIL_KEY_KINDS; kind++) {
        int64_t at = customer_key_tell_at(&keys->of[kind]);
        if (at > after_ms && (!first || at < first)) first = at;
    }
    return first ? db_i64(first) : db_null();
}

enum err customer_keys_update(struct db *db, const struct keyring *keyring, uint64_t id,
                              const struct customer_keys *keys)
{
    static const char sql[] =
        "UPDATE customer SET openpgp_sealed = ?, smime_sealed = ?, openpgp_fingerprint = ?,"
        " openpgp_ends_at = ?, smime_fingerprint = ?, smime_ends_at = ?, encryption_tell_at = ?,"
        " smime_cbc = ? WHERE id = ?";
    struct buf sealed[MAIL_KEY_KINDS] = {{0}};
    struct db_value texts[MAIL_KEY_KINDS], ends[MAIL_KEY_KINDS];
    enum err error = ERR_OK;
    for (unsigned kind = 0; kind < MAIL_KEY_KINDS; kind++) {
        const struct customer_key *key = &keys->of[kind];
        if (key->text.data && !error)
            error = envelope_seal(keyring, contexts[kind], id, key->text, &sealed[kind]);
        texts[kind] = key->text.data ? db_span(buf_span(&sealed[kind])) : db_null();
        ends[kind] = key->ends_at ? db_i64(key->ends_at) : db_null();
    }
    const struct customer_key *openpgp = &keys->of[MAIL_KEY_OPENPGP],
                              *smime = &keys->of[MAIL_KEY_SMIME];
    if (!error)
        error = db_execute(db, sql,
                           DB_VALUES(texts[MAIL_KEY_OPENPGP], texts[MAIL_KEY_SMIME],
                                     db_text(openpgp->fingerprint), ends[MAIL_KEY_OPENPGP],
                                     db_text(smime->fingerprint), ends[MAIL_KEY_SMIME],
                                     next_tell(keys, 0), db_i64(keys->smime_cbc), db_u64(id)),
                           NULL);
    for (unsigned kind = 0; kind < MAIL_KEY_KINDS; kind++)
        buf_done(&sealed[kind]);
    return error;
}

enum err customer_keys_pick(struct db *db, int64_t now_ms, size_t limit, uint64_t *ids,
                            size_t *count)
{
    static const char sql[] = "SELECT id FROM customer FORCE INDEX (encryption_tell)"
                              " WHERE encryption_tell_at <= ? ORDER BY encryption_tell_at LIMIT ?";
    struct db_rows rows;
    *count = 0;
    enum err error = db_query(db, sql, DB_VALUES(db_i64(now_ms), db_u64(limit)), &rows);
    if (error) return error;
    while (*count < limit && db_next(&rows))
        ids[(*count)++] = db_get_u64(&rows, 0);
    db_finish(&rows);
    return ERR_OK;
}

enum err customer_keys_told(struct db *db, uint64_t id, const struct customer_keys *keys,
                            int64_t now_ms)
{
    static const char sql[] = "UPDATE customer SET encryption_tell_at = ? WHERE id = ?";
    return db_execute(db, sql, DB_VALUES(next_tell(keys, now_ms), db_u64(id)), NULL);
}
