/* Mails as rows of the outbox. Called by operations on the committer's thread, inside their
 * transaction. What always holds: the address stands sealed, and nothing that a context says is a
 * secret or personal. */
#include "service/notice.h"

#include "base/codec.h"
#include "base/json.h"
#include "crypto/envelope.h"
#include "service/context.h"
#include "service/operation.h"
#include "store/api_key.h"
#include "store/customer.h"
#include "store/outbox.h"

#include <sodium.h>
#include <stdio.h>

void notice_open(struct notice *notice, const struct api_key_row *key, const char *start)
{
    char shown[16], id[ID_TEXT_SIZE];
    struct buf *out = &notice->context;
    id_format(id, "key", key->id);
    snprintf(shown, sizeof shown, "%.10s...", start);
    notice->key_id = key->id;
    json_open(out, NULL, '{');
    if (key->title[0]) json_put_string(out, "key_title", key->title);
    json_put_string(out, "key_id", id);
    json_put_string(out, "environment", key->environment);
    if (start[0]) json_put_string(out, "key_start", shown);
}

void notice_done(struct notice *notice)
{
    buf_done(&notice->context);
}

struct span notice_context(struct notice *notice)
{
    if (!notice->context.length) json_open(&notice->context, NULL, '{');
    if (!notice->closed) json_close(&notice->context, '}');
    notice->closed = true;
    return buf_span(&notice->context);
}

/* The address under the seal of its outbox row; ERR_NOT_FOUND: there is none. */
static enum err recipient_seal(const struct keyring *keyring, const struct customer_row *customer,
                               uint64_t mail_id, struct buf *out)
{
    struct buf address = {0};
    if (!customer->email_sealed.data || !customer->email_index.data) return ERR_NOT_FOUND;
    enum err error =
        envelope_open(keyring, CUSTOMER_EMAIL, customer->id, customer->email_sealed, &address);
    if (!error) error = envelope_seal(keyring, OUTBOX_RECIPIENT, mail_id, buf_span(&address), out);
    if (address.data) sodium_memzero(address.data, address.capacity);
    buf_done(&address);
    return error;
}

static bool copy(struct arena *arena, struct span from, struct span *to)
{
    *to = span_of(arena_copy(arena, from), from.length);
    return to->data != NULL;
}

enum err notice_write(const struct operation *operation, struct notice *notice, struct arena *arena,
                      struct outbox_row *row)
{
    const struct keyring *keyring = operation->service->keyring;
    struct buf recipient CLEANUP(buf_done) = {0};
    *row = (struct outbox_row){.id = notice->id ? notice->id : id_new(),
                               .kind = notice->kind,
                               .subject = notice->key_id ? notice->key_id : notice->customer->id,
                               .generation = notice->generation,
                               .number = notice->number,
                               .recipient = notice->customer->email_index,
                               .customer_id = notice->customer->id,
                               .key_id = notice->key_id,
                               .body = notice->body,
                               .with_link = notice->with_link,
                               .queued_at = operation->now_ms};
    enum err error = recipient_seal(keyring, notice->customer, row->id, &recipient);
    if (error) return error;
    if (!copy(arena, buf_span(&recipient), &row->recipient_sealed)) return ERR_NO_MEMORY;
    if (row->body.data) return ERR_OK;
    row->context = arena_copy(arena, notice_context(notice));
    return row->context && !notice->context.failed ? ERR_OK : ERR_NO_MEMORY;
}

enum err notice_queue(struct db *db, struct operation *operation, struct notice *notice,
                      uint64_t *mail_id)
{
    struct arena arena CLEANUP(arena_done) = {0};
    struct outbox_row row;
    enum err error = notice_write(operation, notice, &arena, &row);
    if (error) return error;
    if (mail_id) *mail_id = row.id;
    return outbox_insert(db, &row, 1);
}

enum err notice_tell(struct db *db, struct operation *operation, struct notice *notice,
                     uint64_t customer_id)
{
    struct arena arena CLEANUP(arena_done) = {0};
    struct customer_row customer;
    struct customer_name name = {.id = customer_id};
    if (!operation->service->mails) return ERR_OK;
    enum err error = customer_find(db, &name, &arena, &customer);
    if (error) return error == ERR_NOT_FOUND ? ERR_OK : error;
    notice->customer = &customer;
    error = notice_queue(db, operation, notice, NULL);
    notice->customer = NULL;
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

enum err notice_of_key(struct db *db, struct operation *operation, const char *kind,
                       const struct api_key_row *key, uint32_t generation, const char *start,
                       const char *time_name, int64_t time_ms)
{
    struct notice notice CLEANUP(notice_done) = {.kind = kind, .generation = generation};
    notice_open(&notice, key, start);
    if (time_name) json_put_i64(&notice.context, time_name, time_ms);
    return notice_tell(db, operation, &notice, key->customer_id);
}
