/* Rows of new keys (store/new_keys.h). Called by the committer on its thread, inside its
 * transaction. What always holds: a table is written for all keys before the next one is begun, in
 * one order, so that two nodes that issue at once do not wait for each other crosswise. */
#include "store/new_keys.h"

#include "core/period.h"
#include "store/key_word.h"
#include "store/upsert.h"

static struct db_value optional_time(int64_t wall_ms)
{
    return wall_ms ? db_i64(wall_ms) : db_null();
}

struct new_key *new_keys_next(struct new_keys *keys)
{
    if (keys->count == NEW_KEYS_MAX) return NULL;
    struct new_key *key = &keys->keys[keys->count++];
    *key = (struct new_key){0};
    return key;
}

uint32_t new_keys_of(const struct new_keys *keys, uint64_t customer_id)
{
    uint32_t count = 0;
    for (size_t i = 0; i < keys->count; i++)
        if (keys->keys[i].row.customer_id == customer_id) count++;
    return count;
}

static enum err rows_write(struct db *db, const struct new_keys *keys)
{
    struct upsert rows = {
        .db = db,
        .width = 18,
        INSERT("INSERT INTO api_key (id, customer_id, title, description, environment, label,"
               " permissions, rate_limits, monthly_cap, allowed_networks, metadata,"
               " expires_at, rotates_at, secret_version, created_at, updated_at,"
               " rotation_off, tier)",
               "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")};
    enum err error = ERR_OK;
    for (size_t i = 0; i < keys->count && !error; i++) {
        const struct api_key_row *row = &keys->keys[i].row;
        struct db_value cap = row->has_monthly_cap ? db_u64(row->monthly_cap) : db_null();
        error = upsert_add(
            &rows,
            (struct db_value[]){db_u64(row->id), db_u64(row->customer_id), db_text(row->title),
                                db_text(row->description), db_text(row->environment),
                                db_text(row->label), db_text(row->permissions),
                                db_text(row->rate_limits), cap, db_text(row->allowed_networks),
                                db_text(row->metadata), optional_time(row->expires_at),
                                optional_time(row->rotates_at), db_u64(row->secret_version),
                                db_i64(row->created_at), db_i64(row->updated_at),
                                db_i64(row->rotation_off), db_text(keys->keys[i].tier)});
    }
    return error ? error : upsert_flush(&rows);
}

/* What lists find them by. */
static enum err lists_write(struct db *db, const struct new_keys *keys)
{
    struct upsert activity = {
        .db = db, .width = 2, INSERT("INSERT INTO key_activity (key_id, hour)", "(?,?)")};
    struct key_title titles[NEW_KEYS_MAX];
    enum err error = ERR_OK;
    for (size_t i = 0; i < keys->count && !error; i++) {
        const struct api_key_row *row = &keys->keys[i].row;
        titles[i] = (struct key_title){row->id, row->title};
        error =
            upsert_add(&activity, (struct db_value[]){db_u64(row->id),
                                                      db_i64(period_hour_start(row->created_at))});
    }
    if (!error) error = upsert_flush(&activity);
    return error ? error : key_word_add(db, titles, keys->count);
}

static enum err secrets_write(struct db *db, const struct new_keys *keys)
{
    struct key_secret_row rows[NEW_KEYS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < keys->count; i++)
        if (keys->keys[i].has_secret) rows[count++] = keys->keys[i].secret;
    return key_secret_insert(db, rows, count);
}

static enum err steps_write(struct db *db, const struct new_keys *keys)
{
    struct rotation_row rows[NEW_KEYS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < keys->count; i++)
        if (keys->keys[i].has_step) rows[count++] = keys->keys[i].step;
    return rotation_put(db, rows, count);
}

static enum err mails_write(struct db *db, const struct new_keys *keys)
{
    struct outbox_row rows[NEW_KEYS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < keys->count; i++)
        if (keys->keys[i].mail.id) rows[count++] = keys->keys[i].mail;
    return outbox_insert(db, rows, count);
}

enum err new_keys_write(struct db *db, struct new_keys *keys)
{
    if (!keys->count) return ERR_OK;
    enum err error = rows_write(db, keys);
    if (!error) error = lists_write(db, keys);
    if (!error) error = secrets_write(db, keys);
    if (!error) error = steps_write(db, keys);
    if (!error) error = mails_write(db, keys);
    keys->count = 0;
    return error;
}
