/* Mails with new secrets. The contexts are put together by operations on the committer's thread and
 * by the sealer, which runs on the rotation's DB threads before anything is locked. What always
 * holds: the same words go into the mail with the secret and into the one with the link. */
#include "service/secret_mail.h"

#include "base/codec.h"
#include "base/json.h"
#include "core/period.h"
#include "service/context.h"
#include "service/key_change.h"
#include "service/mail_maker.h"
#include "service/notice.h"
#include "store/api_key.h"
#include "store/customer.h"
#include "store/rotation.h"
#include "store/tier.h"

void secret_mail_rotated(struct notice *notice, const struct api_key_row *key, const char *start,
                         const struct tier *tier)
{
    notice->kind = "rotated";
    notice_open(notice, key, start);
    json_put_i64(&notice->context, "grace", tier->grace_seconds);
    json_put_i64(&notice->context, "overlap", tier->hard_stop_days * DAY_MS / 1000);
}

void secret_mail_issued(struct notice *notice, const struct api_key_row *key, const char *start,
                        const struct tier_row *tier)
{
    notice->kind = "key_issued";
    notice_open(notice, key, start);
    json_put_string(&notice->context, "tier", tier->tier.slug);
    if (tier->tier.has_quota)
        json_put_u64(&notice->context, "monthly_limit", tier->tier.monthly_quota);
}

static enum err rotated_seal(const struct secret_mail *mail, struct db *db,
                             struct sealed_secret *what, struct notice *notice, struct arena *arena,
                             struct buf *body)
{
    struct api_key_row key;
    struct tier_row tier;
    struct rotation_secret old, next;
    enum err error = api_key_find(db, what->key_id, arena, &key);
    if (!error) error = key_change_tier(db, key.customer_id, arena, &tier);
    if (!error) error = rotation_secrets(db, key.id, key.secret_version, &old, &next);
    if (error) return error;
    secret_mail_rotated(notice, &key, old.start, &tier.tier);
    return mail_maker_seal(mail->service->maker, db, notice, NULL, what->secret, what->now_ms,
                           body);
}

static enum err seal(const struct secret_sealer *sealer, struct db *db, struct sealed_secret *what,
                     struct buf *body)
{
    const struct secret_mail *mail = CONTAINER_OF(sealer, struct secret_mail, sealer);
    struct arena arena CLEANUP(arena_done) = {0};
    struct customer_name name = {.id = what->customer_id};
    struct customer_row customer;
    enum err error = customer_find(db, &name, &arena, &customer);
    if (!error && !customer.encrypts) error = ERR_NOT_FOUND;
    if (error) return error;
    what->customer_at = customer.updated_at;
    what->mail_id = id_new();
    struct notice notice CLEANUP(notice_done) = {.id = what->mail_id, .customer = &customer};
    return rotated_seal(mail, db, what, &notice, &arena, body);
}

void secret_mail_init(struct secret_mail *mail, struct service *service)
{
    *mail = (struct secret_mail){{.seal = seal}, service};
}
