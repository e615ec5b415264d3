/* Editing keys, on the committer's thread inside key_change_run. What always holds: what an edit
 * leaves out stays as it is, permissions stay within the tier and the token, and a revoked key
 * changes no more. */
#include "service/key_edit.h"

#include "base/codec.h"
#include "core/period.h"
#include "service/notice.h"
#include "service/rotation_rows.h"
#include "store/customer.h"
#include "store/entitlement.h"
#include "store/key_word.h"
#include "store/names.h"
#include "store/rotation.h"
#include "store/tier.h"

static const char *json_kept(struct buf *json, struct arena *arena)
{
    const char *text = json->failed ? NULL : arena_copy(arena, buf_span(json));
    buf_done(json);
    return text;
}

static enum err edit_grants(struct db *db, struct key_edit *edit, struct api_key_row *row)
{
    struct tier_row tier;
    struct problem *problem = &edit->change.operation.problem;
    struct arena *arena = &edit->change.arena;
    const struct key_settings *settings = &edit->settings;
    struct buf json = {0};
    enum err error = key_change_tier(db, row->customer_id, arena, &tier);
    if (error) return error;
    if (settings->permissions) {
        if (!issue_permissions_allowed(problem, settings, &tier)) return ERR_DENIED;
        names_to_json(span_text(settings->permissions), &json);
        row->permissions = json_kept(&json, arena);
    }
    if (edit->has_rate_limits) {
        if (!issue_limits_allowed(problem, settings, &tier)) return ERR_DENIED;
        rate_limits_to_json(settings->rate_limits, settings->rate_limit_count, &json);
        row->rate_limits = json_kept(&json, arena);
    }
    return row->permissions && row->rate_limits ? ERR_OK : ERR_NO_MEMORY;
}

/* Rotating again: as if it had never been off, but with time for the notice. */
static enum err rotation_on(struct db *db, struct api_key_row *row, const struct tier *tier,
                            int64_t now_ms)
{
    struct rotation_row pending;
    struct rotation_secret secret, next;
    enum err error = rotation_lock_retirement(db, row->id, &pending);
    if (!error && pending.generation == row->secret_version) return ERR_OK; /* a link waits */
    if (error && error != ERR_NOT_FOUND) return error;
    error = rotation_secrets(db, row->id, row->secret_version, &secret, &next);
    /* Without a secret, or with one that ended because nobody used the link: from its reveal on. */
    bool works = secret.there && (!secret.expires_at || secret.expires_at > now_ms);
    if (error || !works) return error;
    int64_t soonest = now_ms + tier->notice_days * DAY_MS;
    row->rotates_at = rotation_date(tier, secret.created_at);
    if (row->rotates_at && row->rotates_at < soonest) row->rotates_at = soonest;
    return rotation_rows_begin(db, row, tier, now_ms);
}

static enum err edit_dates(struct db *db, struct key_edit *edit, struct api_key_row *row)
{
    struct tier_row tier;
    const struct key_settings *settings = &edit->settings;
    int64_t now_ms = edit->change.operation.now_ms;
    enum err error = key_change_tier(db, row->customer_id, &edit->change.arena, &tier);
    if (!error && edit->has_expires_at && row->expires_at != settings->expires_at) {
        row->expires_at = settings->expires_at;
        error = rotation_rows_expiry(db, row, &tier.tier, now_ms);
    }
    if (error || !edit->has_rotation || row->rotation_off == settings->rotation_off) return error;
    row->rotation_off = settings->rotation_off;
    if (!row->rotation_off) return rotation_on(db, row, &tier.tier, now_ms);
    row->rotates_at = 0;
    return rotation_drop(db, row->id, ROTATION_DROP_BEFORE);
}

static enum err edit_apply(struct db *db, struct key_change *change, struct api_key_row *row)
{
    struct key_edit *edit = CONTAINER_OF(change, struct key_edit, change);
    const struct key_settings *settings = &edit->settings;
    struct problem *problem = &change->operation.problem;
    enum err error = precondition_check(&edit->precondition, row->updated_at, problem);
    if (!error) error = key_change_refuse_revoked(&change->operation, row);
    if (error) return error;
    if (edit->has_expires_at && settings->expires_at &&
        settings->expires_at <= change->operation.now_ms) {
        problem_add_field(problem, "body.expires_at", "must be in the future");
        return ERR_DENIED;
    }
    if (settings->permissions || edit->has_rate_limits) {
        error = edit_grants(db, edit, row);
        if (error) return error;
    }
    if (settings->title) {
        error = key_word_remove(db, row->id, row->title);
        if (!error) error = key_word_add(db, &(struct key_title){row->id, settings->title}, 1);
        if (error) return error;
        row->title = settings->title;
    }
    if (settings->description) row->description = settings->description;
    if (settings->allowed_networks) row->allowed_networks = settings->allowed_networks;
    if (settings->metadata) row->metadata = settings->metadata;
    if (edit->has_expires_at || edit->has_rotation) {
        error = edit_dates(db, edit, row);
        if (error) return error;
    }
    if (edit->has_cap) {
        row->has_monthly_cap = settings->has_monthly_cap;
        row->monthly_cap = settings->monthly_cap;
    }
    change->action = "key.update";
    return ERR_OK;
}

void key_edit_init(struct key_edit *edit)
{
    edit->settings.at = "body";
    edit->change.apply = edit_apply;
    edit->change.operation.run = key_change_run;
    edit->change.operation.done = key_change_finish;
}

/* Nothing of its rotation is to come any more; the customer is told. */
static enum err revoke_steps(struct db *db, struct key_change *change,
                             const struct api_key_row *row)
{
    struct rotation_secret secret, next;
    enum err error = rotation_secrets(db, row->id, row->secret_version, &secret, &next);
    if (!error) error = rotation_rows_end(db, row, row->revoked_at);
    if (error) return error;
    return notice_of_key(db, &change->operation, "revoked", row, row->secret_version, secret.start,
                         "revoked_at", row->revoked_at);
}

static enum err state_apply(struct db *db, struct key_change *change, struct api_key_row *row)
{
    const struct key_state_change *wanted = CONTAINER_OF(change, struct key_state_change, change);
    enum err error = ERR_OK;
    switch (wanted->state) {
    case KEY_STATE_REVOKE:
        if (row->revoked_at) return ERR_OK;
        row->revoked_at = change->operation.now_ms;
        change->action = "key.revoke";
        return revoke_steps(db, change, row);
    case KEY_STATE_DISABLE:
        error = key_change_refuse_revoked(&change->operation, row);
        if (error || row->disabled) return error;
        row->disabled = true;
        change->action = "key.disable";
        return ERR_OK;
    case KEY_STATE_ENABLE:
        error = key_change_refuse_revoked(&change->operation, row);
        if (error || !row->disabled) return error;
        row->disabled = false;
        change->action = "key.enable";
        return ERR_OK;
    }
    return ERR_INVALID;
}

/* There is room now for one that a smaller tier suspended. */
static enum err restore_others(struct db *db, struct key_change *change, uint64_t customer_id)
{
    struct operation *operation = &change->operation;
    struct tier_row tier;
    char subject[ID_TEXT_SIZE];
    uint64_t restored = 0;
    enum err error = key_change_tier(db, customer_id, &change->arena, &tier);
    if (error == ERR_NOT_FOUND) return ERR_OK; /* neither is there a maximum */
    if (!error)
        error = entitlement_restore_keys(db, customer_id, tier.tier.max_keys, operation->now_ms,
                                         &restored);
    if (error || !restored) return error;
    const char *detail =
        arena_printf(&change->arena, "{\"keys_restored\":%llu}", (unsigned long long)restored);
    if (!detail) return ERR_NO_MEMORY;
    id_format(subject, "cus", customer_id);
    operation_feed(operation, FEED_CUSTOMER, customer_id);
    operation_audit(operation, "customer.keys_restore", subject, customer_id, detail);
    return ERR_OK;
}

/* The customer's lock comes before the key's, as everywhere. */
static enum err revoke_run(struct db *db, struct operation *operation)
{
    struct key_change *change = CONTAINER_OF(operation, struct key_change, operation);
    uint64_t customer_id = 0;
    enum err error = customer_lock_by_key(db, change->key_id, &customer_id);
    if (!error || error == ERR_NOT_FOUND) error = key_change_run(db, operation);
    return error || !change->action ? error : restore_others(db, change, customer_id);
}

void key_state_init(struct key_state_change *change, enum key_state state)
{
    change->state = state;
    change->change.reduces = state != KEY_STATE_ENABLE;
    change->change.apply = state_apply;
    change->change.operation.run = state == KEY_STATE_REVOKE ? revoke_run : key_change_run;
    change->change.operation.done = key_change_finish;
}
