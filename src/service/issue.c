/* Issuing keys. issue_run and issue_key are on the committer's thread, the rest on the loop. What
 * always holds: the customer's row is locked before its keys are counted, so that max_keys is never
 * passed; and nothing is issued for a customer whose payment has lapsed. */
#include "service/issue.h"

#include "base/buf.h"
#include "base/codec.h"
#include "core/api_key.h"
#include "core/permission.h"
#include "core/rotation.h"
#include "service/context.h"
#include "service/gathered.h"
#include "service/import.h"
#include "service/notice.h"
#include "service/rotation_rows.h"
#include "service/secret_mail.h"
#include "store/entitlement.h"
#include "store/names.h"

#include <stdio.h>

static void wrong(struct problem *problem, const struct key_settings *settings, const char *field,
                  const char *message)
{
    char location[96];
    snprintf(location, sizeof location, "%s.%s", settings->at, field);
    problem_add_field(problem, location, "%s", message);
}

bool issue_permissions_allowed(struct problem *problem, const struct key_settings *settings,
                               const struct tier_row *tier)
{
    struct span rest = span_text(settings->permissions), name;
    bool allowed = true;
    while (permission_next(&rest, &name)) {
        bool by_tier = permission_has(span_text(tier->tier.permissions), name);
        bool by_token = !settings->within || permission_has(span_text(settings->within), name);
        if (by_tier && by_token) continue;
        char message[160];
        snprintf(message, sizeof message, "%.*s is not among what %s may grant", (int)name.length,
                 name.data, by_tier ? "your token" : "the tier");
        wrong(problem, settings, "permissions", message);
        problem->code = "permission_not_allowed";
        allowed = false;
    }
    return allowed;
}

static const struct rate_limit *tier_limit(const struct tier *tier, const char *name)
{
    for (unsigned i = 0; i < tier->rate_limit_count; i++)
        if (span_is(span_text(tier->rate_limits[i].name), name)) return &tier->rate_limits[i];
    return NULL;
}

bool issue_limits_allowed(struct problem *problem, const struct key_settings *settings,
                          const struct tier_row *tier)
{
    unsigned before = problem->field_count, total = tier->tier.rate_limit_count;
    for (unsigned i = 0; i < settings->rate_limit_count; i++) {
        const struct rate_limit *own = &settings->rate_limits[i];
        const struct rate_limit *theirs = tier_limit(&tier->tier, own->name);
        if (!theirs) total++;
        if (!theirs || settings->may_loosen || rate_limit_is_tighter(own, theirs)) continue;
        char field[32], message[160];
        snprintf(field, sizeof field, "rate_limits[%u]", i);
        snprintf(message, sizeof message,
                 "may only be tighter than the tier's %s: %u per %u seconds", theirs->name,
                 theirs->limit, theirs->window_s);
        wrong(problem, settings, field, message);
    }
    if (total > RATE_LIMITS_MAX)
        wrong(problem, settings, "rate_limits", "makes more than 8 limits with those of the tier");
    return problem->field_count == before;
}

/* Keys that the customer has, those that wait to be written with it. */
static enum err count_keys(struct db *db, const struct operation *operation, uint64_t customer_id,
                           uint32_t at_most, uint32_t *count)
{
    const struct gathered *gathered = operation->gathered;
    const struct gathered_customer *customer = gathered_customer(gathered, customer_id);
    enum err error = ERR_OK;
    if (customer)
        *count = customer->key_count;
    else
        error = api_key_count(db, customer_id, at_most, count);
    *count += new_keys_of(&gathered->keys, customer_id);
    return error;
}

static enum err check(struct db *db, struct operation *operation,
                      const struct key_settings *settings, uint64_t customer_id,
                      const struct tier_row *tier)
{
    struct problem *problem = &operation->problem;
    if (!issue_permissions_allowed(problem, settings, tier)) return ERR_DENIED;
    if (!issue_limits_allowed(problem, settings, tier)) return ERR_DENIED;
    if (settings->expires_at && settings->expires_at <= operation->now_ms) {
        wrong(problem, settings, "expires_at", "must be in the future");
        return ERR_DENIED;
    }
    uint32_t count = 0;
    enum err error = count_keys(db, operation, customer_id, tier->tier.max_keys, &count);
    if (error || count < tier->tier.max_keys) return error;
    return problem_set(problem, 403, "key_limit_reached",
                       "The tier allows %u keys, which the customer has; revoke one or change the "
                       "tier.",
                       tier->tier.max_keys);
}

static const char *label_of(const struct key_settings *settings, const struct tier_row *tier)
{
    if (settings->label) return settings->label;
    return settings->test ? "km_test" : tier->tier.label;
}

/* The secret's row, which is written with the key's; an imported one's is written here. */
static enum err first_secret(struct db *db, struct operation *operation,
                             const struct key_settings *settings, const struct api_key_row *row,
                             struct key_change *change, struct key_secret_row *made)
{
    if (settings->import) return import_secret(db, operation, settings->import, row, made);
    if (!change->delivery.secret) return key_change_make(operation, row, made, &change->secret);
    key_change_secret(operation, row, change->delivery.secret, made);
    return ERR_OK;
}

/* Leaves the key's rows to be written with those of others. `made` NULL: no secret's row is. */
static enum err gather(struct operation *operation, const struct api_key_row *row,
                       const struct tier *tier, const char *slug, const struct key_secret_row *made,
                       const struct outbox_row *mail)
{
    struct new_key *key = new_keys_next(&operation->gathered->keys);
    if (!key) return ERR_FULL;
    key->row = *row;
    key->tier = slug;
    key->has_step = rotation_rows_notice(row, tier, row->created_at, &key->step);
    if (!row->secret_version) { /* its link is reminded of */
        rotation_rows_reminder(row, 0, row->created_at, &key->step);
        key->has_step = true;
    }
    key->has_secret = made != NULL;
    if (made) key->secret = *made;
    key->mail = *mail;
    return ERR_OK;
}

/* The mail with the secret, with the link to it, or, when the answer has it, without: such a one is
 * left in *mail, to be written with the key's rows. */
static enum err tell_issued(struct db *db, struct operation *operation,
                            const struct delivery *delivery, const struct customer_row *customer,
                            const struct api_key_row *row, const char *start,
                            const struct tier_row *tier, struct arena *arena,
                            struct outbox_row *mail)
{
    struct notice notice CLEANUP(notice_done) = {.customer = customer};
    if (!delivery->by_mail && !operation->service->mails) return ERR_OK;
    secret_mail_issued(&notice, row, start, tier);
    if (delivery->by_mail) return delivery_tell(db, operation, delivery, &notice);
    enum err error = notice_write(operation, &notice, arena, mail);
    if (error) *mail = (struct outbox_row){0};
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

enum err issue_key(struct db *db, struct operation *operation, const struct key_settings *settings,
                   const struct customer_row *customer, const struct tier_row *tier,
                   const struct period_rule *months, struct arena *arena, struct key_change *change)
{
    const struct delivery *delivery = &change->delivery;
    enum err error = check(db, operation, settings, customer->id, tier);
    if (!error && delivery->by_mail) error = delivery_check(operation, delivery, customer);
    if (error) return error;
    struct buf permissions CLEANUP(buf_done) = {0}, limits CLEANUP(buf_done) = {0};
    names_to_json(span_text(settings->permissions), &permissions);
    rate_limits_to_json(settings->rate_limits, settings->rate_limit_count, &limits);
    const char *permissions_json = arena_copy(arena, buf_span(&permissions));
    const char *limits_json = arena_copy(arena, buf_span(&limits));
    const char *slug = arena_copy(arena, span_text(tier->tier.slug));
    const char *label = arena_copy(arena, span_text(label_of(settings, tier)));
    if (permissions.failed || limits.failed || !permissions_json || !limits_json || !slug || !label)
        return ERR_NO_MEMORY;
    int64_t now_ms = operation->now_ms;
    bool by_link = delivery->by_mail && !delivery->secret;
    struct key_secret_row made;
    struct outbox_row mail = {0};
    struct api_key_row row = {
        .id = delivery->by_mail ? delivery->key_id : id_new(),
        .customer_id = customer->id,
        .title = settings->title ? settings->title : "",
        .description = settings->description ? settings->description : "",
        .environment = settings->test ? "test" : "live",
        .label = label,
        .permissions = permissions_json,
        .rate_limits = limits_json,
        .allowed_networks = settings->allowed_networks ? settings->allowed_networks : "[]",
        .metadata = settings->metadata ? settings->metadata : "{}",
        .has_monthly_cap = settings->has_monthly_cap,
        .monthly_cap = settings->monthly_cap,
        .expires_at = settings->expires_at,
        .rotates_at = settings->rotation_off || by_link ? 0 : rotation_date(&tier->tier, now_ms),
        .rotation_off = settings->rotation_off,
        .secret_version = by_link ? 0 : 1,
        .created_at = now_ms,
        .updated_at = now_ms,
    };
    char subject[ID_TEXT_SIZE];
    id_format(subject, "key", row.id);
    if (!by_link) error = first_secret(db, operation, settings, &row, change, &made);
    if (!error && row.expires_at) error = rotation_rows_expiry(db, &row, &tier->tier, now_ms);
    if (!error) key_view_of_new(&change->view, &row, by_link ? NULL : &made, slug, months, now_ms);
    if (!error && !settings->import)
        error = tell_issued(db, operation, delivery, customer, &row, by_link ? "" : made.start,
                            tier, arena, &mail);
    operation_feed(operation, FEED_KEY, row.id);
    operation_audit(operation, settings->import ? "key.import" : "key.create", subject,
                    customer->id, NULL);
    if (error) return error;
    return gather(operation, &row, &tier->tier, slug, by_link || settings->import ? NULL : &made,
                  &mail);
}

enum err issue_deliver(struct db *db, struct service *service, const struct key_settings *settings,
                       const struct customer_row *customer, const struct customer_keys *keys,
                       const struct tier_row *tier, struct delivery *delivery)
{
    struct delivery_key what = {.customer = customer,
                                .keys = keys,
                                .title = settings->title ? settings->title : "",
                                .environment = settings->test ? "test" : "live",
                                .label = label_of(settings, tier),
                                .tier = tier};
    return delivery_prepare_new(db, service, delivery, &what);
}

/* Of all that name their customer by its id. */
static enum err issue_read_ahead(struct db *db, struct operation **operations, size_t count)
{
    uint64_t ids[NEW_KEYS_MAX];
    size_t named = 0;
    for (size_t i = 0; i < count && named < NEW_KEYS_MAX; i++) {
        const struct issue *issue = CONTAINER_OF(operations[i], struct issue, change.operation);
        if (issue->customer.id) ids[named++] = issue->customer.id;
    }
    return named ? gathered_customers(db, operations[0]->gathered, ids, named) : ERR_OK;
}

/* The customer, locked, and what it is entitled to: read ahead, or now. ERR_NOT_FOUND with a
 * customer of id 0: there is none. */
static enum err customer_take(struct db *db, struct issue *issue, struct customer_row *customer,
                              struct entitlement_row *entitlement)
{
    struct arena *arena = &issue->change.arena;
    const struct gathered_customer *ahead =
        gathered_customer(issue->change.operation.gathered, issue->customer.id);
    customer->id = 0;
    if (!ahead) {
        enum err error = customer_lock(db, &issue->customer, arena, customer);
        return error ? error : entitlement_find(db, customer->id, arena, entitlement);
    }
    *customer = ahead->row;
    *entitlement = ahead->entitlement;
    return ahead->entitled ? ERR_OK : ERR_NOT_FOUND;
}

static enum err issue_run(struct db *db, struct operation *operation)
{
    struct issue *issue = CONTAINER_OF(operation, struct issue, change.operation);
    struct key_change *change = &issue->change;
    struct customer_row customer;
    struct entitlement_row entitlement;
    const struct tier_row *tier;
    arena_done(&change->arena);
    enum err error = customer_take(db, issue, &customer, &entitlement);
    if (error == ERR_NOT_FOUND && !customer.id) {
        problem_add_field(&operation->problem, "body.customer_id", "there is no such customer");
        return ERR_DENIED;
    }
    if (!error && entitlement_lapsed(&entitlement, operation->now_ms))
        return problem_set(&operation->problem, 402, "payment_required",
                           "The payment for the customer's tier has lapsed.");
    if (!error) error = gathered_tier(db, operation->gathered, span_text(entitlement.tier), &tier);
    if (!error)
        error = issue_key(db, operation, &issue->settings, &customer, tier, &entitlement.months,
                          &change->arena, change);
    return error;
}

/* A new key has used nothing, so there is nothing to count. */
static void issue_done(struct operation *operation, enum err error)
{
    struct key_change *change = CONTAINER_OF(operation, struct key_change, operation);
    change->done(change, error);
}

/* By mail: what the operation is going to find, it checks again. */
static enum err issue_prepare(struct db *db, struct key_change *change)
{
    struct issue *issue = CONTAINER_OF(change, struct issue, change);
    struct arena arena CLEANUP(arena_done) = {0};
    struct customer_row customer;
    struct tier_row tier;
    enum err error = customer_find(db, &issue->customer, &arena, &customer);
    if (!error) error = key_change_tier(db, customer.id, &arena, &tier);
    if (error) return error == ERR_NOT_FOUND ? ERR_OK : error;
    change->delivery.customer_at = customer.updated_at;
    return issue_deliver(db, change->operation.service, &issue->settings, &customer, NULL, &tier,
                         &change->delivery);
}

void issue_init(struct issue *issue)
{
    issue->change.prepare = issue_prepare;
    issue->settings.at = "body";
    issue->change.operation.run = issue_run;
    issue->change.operation.gathers = true;
    issue->change.operation.read_ahead = issue_read_ahead;
    issue->change.operation.done = issue_done;
}
