/* Changed addresses and encryption keys. The look is on a reader's thread, the rest on the
 * committer's, called by customer_edit.c. What always holds: the mail goes where mail went before
 * the change, and never to a key that came with it; where a key was on file that could be encrypted
 * to, it is encrypted to that one. */
#include "service/contact_change.h"

#include "base/clock.h"
#include "base/codec.h"
#include "base/json.h"
#include "base/log.h"
#include "service/context.h"
#include "service/mail_maker.h"
#include "service/notice.h"
#include "service/operation.h"
#include "store/customer.h"
#include "store/customer_view.h"

#include <string.h>

enum { MINUTE_MS = 60 * 1000 };

bool contact_change_wanted(const struct contact_change *change)
{
    return change->email || encryption_given(&change->encryption);
}

static void notice_fill(struct notice *notice, const struct contact_change *change, int64_t now_ms)
{
    struct buf *out = &notice->context;
    notice->kind = "contact_changed";
    json_open(out, NULL, '{');
    json_put_i64(out, "changed_at", now_ms);
    json_put_bool(out, "email_changed", change->email_changed);
    json_put_bool(out, "openpgp_changed", change->key_changed[MAIL_KEY_OPENPGP]);
    json_put_bool(out, "smime_changed", change->key_changed[MAIL_KEY_SMIME]);
}

/* Nothing is encrypted to a key that has just come: such a mail stands as it is in the outbox. */
static enum err mail_seal_former(struct db *db, struct service *service,
                                 struct contact_change *change, const struct customer_row *row,
                                 const struct customer_keys *before)
{
    int64_t now_ms = clock_wall_ms();
    struct notice notice CLEANUP(notice_done) = {.id = id_new(), .customer = row};
    notice_fill(&notice, change, now_ms);
    change->mail_id = notice.id;
    change->body = (struct buf){.limit = (size_t)4 << 20};
    enum err error = mail_maker_seal(service->maker, db, &notice, before, (struct span){0}, now_ms,
                                     &change->body);
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

static enum err compare(struct service *service, struct contact_change *change,
                        const struct customer_row *row, struct arena *arena)
{
    const char *email = NULL;
    enum err error =
        customer_open(service->keyring, CUSTOMER_EMAIL, row->id, row->email_sealed, arena, &email);
    change->email_changed = change->email && (!email || strcmp(email, change->email) != 0);
    return error;
}

enum err contact_change_look(struct db *db, struct service *service, struct contact_change *change,
                             const struct customer_name *name, struct problem *problem)
{
    struct arena arena CLEANUP(arena_done) = {0};
    struct customer_keys before, after;
    struct customer_row row;
    enum err error = encryption_check(service, &change->encryption, problem);
    if (!error) error = customer_find(db, name, &arena, &row);
    if (!error) error = customer_keys_find(db, service->keyring, row.id, &arena, &before);
    if (!error) error = compare(service, change, &row, &arena);
    if (error) return error;
    after = before;
    encryption_apply(&change->encryption, &after, change->key_changed);
    change->customer_at = row.updated_at;
    change->tells = service->mails && row.email_sealed.data &&
                    (change->email_changed || change->key_changed[MAIL_KEY_OPENPGP] ||
                     change->key_changed[MAIL_KEY_SMIME]);
    if (!change->tells || !row.encrypts) return ERR_OK;
    return mail_seal_former(db, service, change, &row, &before);
}

static enum err tell(struct db *db, struct operation *operation,
                     const struct contact_change *change, const struct customer_row *row)
{
    int64_t now_ms = operation->now_ms;
    struct notice notice CLEANUP(notice_done) = {
        .customer = row,
        .generation = (uint32_t)(now_ms / MINUTE_MS),
        .number = (uint32_t)(now_ms % MINUTE_MS),
    };
    notice_fill(&notice, change, now_ms);
    if (change->body.length) {
        notice.id = change->mail_id;
        notice.body = buf_span(&change->body);
    } else { /* there was no key, or one that has ended: what came may not hide that it came */
        json_put_bool(&notice.context, NOTICE_IN_CLEAR, true);
    }
    enum err error = notice_queue(db, operation, &notice, NULL);
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

enum err contact_change_apply(struct db *db, struct operation *operation,
                              const struct contact_change *change, const struct customer_row *row)
{
    const struct keyring *keyring = operation->service->keyring;
    struct arena arena CLEANUP(arena_done) = {0};
    struct customer_keys keys;
    bool changed[MAIL_KEY_KINDS];
    if (change->customer_at != row->updated_at)
        return problem_set(&operation->problem, 409, "conflict",
                           "The customer was changed while the call ran; try again.");
    enum err error = customer_keys_find(db, keyring, row->id, &arena, &keys);
    if (error) return error;
    encryption_apply(&change->encryption, &keys, changed);
    if (changed[MAIL_KEY_OPENPGP] || changed[MAIL_KEY_SMIME] || change->encryption.cipher_given)
        error = customer_keys_update(db, keyring, row->id, &keys);
    if (error || !change->tells) return error;
    return tell(db, operation, change, row);
}

void contact_change_done(struct contact_change *change)
{
    buf_done(&change->body);
}
