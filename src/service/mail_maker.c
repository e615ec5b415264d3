/* Making mails. Called by the mailer's and the rotation's DB threads and by those of the use cases
 * that deliver a secret. What always holds: a secret is put only into a text that is encrypted
 * before anything leaves here; and where a key is on file and encryption fails, there is no mail,
 * or a claim link. */
#include "service/mail_maker.h"

#include "base/codec.h"
#include "base/json.h"
#include "base/log.h"
#include "base/secret.h"
#include "conf/settings.h"
#include "crypto/envelope.h"
#include "io/db.h"
#include "service/mail_compose.h"
#include "service/mail_context.h"
#include "service/mail_expand.h"
#include "service/mail_house.h"
#include "service/mail_template.h"
#include "service/notice.h"
#include "store/alert.h"
#include "store/customer.h"
#include "store/customer_keys.h"
#include "store/customer_view.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { SEALERS_KEPT = 4, BOUNDARY_LETTERS = 24, TEXT_SIZE = 300 };

struct mail_maker {
    const struct keyring *keyring;
    const char *base_url;
    struct mail_house house;
    const struct mail_templates *templates;
    char outer_subject[TEXT_SIZE];
    pthread_mutex_t mutex; /* of what follows */
    struct mail_sealer *sealers[SEALERS_KEPT];
    unsigned sealer_count;
};

/* ---- sealers: one thread's at a time ---- */

static enum err sealer_take(struct mail_maker *maker, struct mail_sealer **out)
{
    *out = NULL;
    pthread_mutex_lock(&maker->mutex);
    if (maker->sealer_count) *out = maker->sealers[--maker->sealer_count];
    pthread_mutex_unlock(&maker->mutex);
    return *out ? ERR_OK : mail_sealer_new(out);
}

static void sealer_give(struct mail_maker *maker, struct mail_sealer *sealer)
{
    pthread_mutex_lock(&maker->mutex);
    if (maker->sealer_count < SEALERS_KEPT) {
        maker->sealers[maker->sealer_count++] = sealer;
        sealer = NULL;
    }
    pthread_mutex_unlock(&maker->mutex);
    mail_sealer_free(&sealer);
}

enum err mail_maker_check_key(struct mail_maker *maker, const struct mail_key *key, int64_t now_s,
                              struct mail_key_info *info, enum mail_key_fault *fault)
{
    struct mail_sealer *sealer;
    enum err error = sealer_take(maker, &sealer);
    if (error) return error;
    error = mail_key_check(sealer, key, now_s, info, fault);
    sealer_give(maker, sealer);
    return error;
}

/* ---- one mail ---- */

/* What is known of a mail while it is made. */
struct making {
    struct mail_maker *maker;
    struct arena arena;
    enum mail_kind kind;
    uint64_t id;
    int64_t date_ms, now_ms;
    const struct secret *token; /* of a claim link; NULL: none */
    struct customer_row customer;
    const char *name; /* of the customer, opened; NULL: none */
    const char *to;
    struct customer_keys keys;
    struct mail_text text;
    struct mail_message message;
    char message_id[TEXT_SIZE], boundary[BOUNDARY_LETTERS + 1];
    struct mail_compose_fault fault;
    enum mail_key_kind fault_kind;
    bool in_clear; /* NOTICE_IN_CLEAR */
};

static void making_done(struct making *making)
{
    mail_text_done(&making->text);
    arena_done(&making->arena);
}

static enum err customer_read(struct db *db, struct making *making, uint64_t customer_id)
{
    const struct keyring *keyring = making->maker->keyring;
    struct customer_name name = {.id = customer_id};
    enum err error = customer_find(db, &name, &making->arena, &making->customer);
    if (!error && making->customer.encrypts)
        error = customer_keys_find(db, keyring, customer_id, &making->arena, &making->keys);
    if (error) return error;
    return customer_open(keyring, CUSTOMER_NAME, customer_id, making->customer.name_sealed,
                         &making->arena, &making->name);
}

/* `name`: "secret" or "claim_url". */
static enum err making_render(struct making *making, struct span stored, const char *name,
                              struct span value)
{
    const struct mail_maker *maker = making->maker;
    const char *own = making->customer.language;
    json_t *context;
    enum err error = mail_expand(making->kind, stored, &context);
    if (error) return error;
    making->in_clear = json_is_true(json_object_get(context, NOTICE_IN_CLEAR));
    json_object_del(context, NOTICE_IN_CLEAR);
    error = mail_house_add(&maker->house, context, making->kind, making->customer.external_id,
                           making->name);
    if (value.data && json_object_set_new(context, name, json_stringn(value.data, value.length)))
        error = ERR_NO_MEMORY;
    if (!error)
        error = mail_render(maker->templates, making->kind, own ? own : maker->house.language,
                            context, &making->text);
    mail_context_free(&context);
    if (!error && making->text.fault[0])
        log_event(LOG_WARN, "mail_template_failed", "%s; the built-in text was sent instead",
                  making->text.fault);
    return error;
}

static void boundary_make(char out[BOUNDARY_LETTERS + 1])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (unsigned i = 0; i < BOUNDARY_LETTERS; i++)
        out[i] = letters[randombytes_uniform(sizeof letters - 1)];
    out[BOUNDARY_LETTERS] = '\0';
}

static struct mail_party party_of(const struct mailbox *mailbox)
{
    return (struct mail_party){span_text(mailbox->name), span_text(mailbox->address)};
}

/* The headers, and the rendered text where there is one. */
static void message_fill(struct making *making)
{
    const struct mail_house *house = &making->maker->house;
    char id[ID_TEXT_SIZE];
    id_format(id, "ntf", making->id);
    snprintf(making->message_id, sizeof making->message_id, "%s@%.254s", id,
             mail_house_domain(house));
    boundary_make(making->boundary);
    making->message = (struct mail_message){
        .from = party_of(&house->from),
        .to = {span_text(making->name ? making->name : ""), span_text(making->to)},
        .reply_to = party_of(&house->reply_to),
        .subject = span_text(making->text.subject),
        .outer_subject = span_text(making->maker->outer_subject),
        .message_id = span_text(making->message_id),
        .date_s = making->date_ms / 1000,
        .boundary = span_text(making->boundary),
        .text = buf_span(&making->text.text),
        .html = buf_span(&making->text.html),
    };
}

/* To the first of the customer's keys that can be encrypted to. ERR_NOT_FOUND: there is none on
 * file. */
static enum err message_seal(struct making *making, struct buf *body)
{
    struct mail_sealer *sealer;
    enum err error = sealer_take(making->maker, &sealer);
    if (error) return error;
    error = ERR_NOT_FOUND;
    for (unsigned kind = 0; kind < MAIL_KEY_KINDS && error; kind++) {
        struct mail_key key = {.kind = (enum mail_key_kind)kind,
                               .cipher = making->keys.smime_cbc ? MAIL_CIPHER_CBC : MAIL_CIPHER_GCM,
                               .text = making->keys.of[kind].text};
        if (!key.text.data) continue;
        making->fault_kind = key.kind;
        error = mail_compose_seal(sealer, &making->message, &key, making->now_ms / 1000, body,
                                  &making->fault);
    }
    sealer_give(making->maker, sealer);
    return error;
}

/* ---- of a row ---- */

static enum err refuse(struct made_mail *out, bool final, const char *text, const char *more)
{
    snprintf(out->reason, sizeof out->reason, "%.120s%.70s", text, more);
    out->final = final;
    return ERR_DENIED;
}

/* Why a message could not be made, for people. */
static enum err refuse_fault(const struct making *making, struct made_mail *out)
{
    const struct mail_compose_fault *fault = &making->fault;
    bool openpgp = making->fault_kind == MAIL_KEY_OPENPGP;
    if (fault->message.field)
        return refuse(out, true, "the mail cannot be composed: ", fault->message.field);
    if (fault->key)
        return refuse(out, false,
                      openpgp ? "no encryption to the customer's openpgp_key: "
                              : "no encryption to the customer's smime_certificate: ",
                      mail_key_fault_code(fault->key));
    return refuse(out, true, "what the outbox holds is no mail", "");
}

/* The address, in the arena. */
static enum err recipient_open(struct making *making, struct span sealed, const char **out)
{
    CLEANUP(buf_done) struct buf plain = {.wipe = true};
    enum err error =
        envelope_open(making->maker->keyring, OUTBOX_RECIPIENT, making->id, sealed, &plain);
    if (error) return error;
    *out = arena_printf(&making->arena, "%.*s", (int)plain.length, plain.data);
    return *out ? ERR_OK : ERR_NO_MEMORY;
}

/* Whom it goes to: who was written to; but with a link, whose the address is now. One that was
 * taken off the file while the mail waited must not be sent a way to the secret. */
static enum err to_open(struct making *making, const struct outbox_row *row, const char **out)
{
    const struct customer_row *customer = &making->customer;
    if (!row->with_link) return recipient_open(making, row->recipient_sealed, out);
    return customer_open(making->maker->keyring, CUSTOMER_EMAIL, customer->id,
                         customer->email_sealed, &making->arena, out);
}

static enum err row_render(struct making *making, const struct outbox_row *row,
                           struct made_mail *out)
{
    CLEANUP(buf_done) struct buf link = {.wipe = true};
    if (making->token) {
        buf_printf(&link, "%s/claim#", making->maker->base_url);
        buf_add_span(&link, secret_span(making->token));
    }
    if (link.failed) return ERR_NO_MEMORY;
    struct span url = link.length ? buf_span(&link) : (struct span){0};
    enum err error = making_render(making, span_text(row->context), "claim_url", url);
    if (error == ERR_INVALID || error == ERR_FULL)
        return refuse(out, true, "the text cannot be made: ", making->text.fault);
    return error;
}

static enum err row_compose(struct making *making, struct made_mail *out)
{
    CLEANUP(buf_done) struct buf body = {.limit = MAIL_MESSAGE_MAX};
    enum err error = making->in_clear ? ERR_NOT_FOUND : message_seal(making, &body);
    bool key_fault = error == ERR_INVALID && making->fault.key != MAIL_KEY_GOOD;
    if (!error)
        return mail_compose_wrap(&making->message, buf_span(&body), &out->message, &making->fault);
    if (error != ERR_NOT_FOUND && !(key_fault && making->token)) return error;
    making->fault = (struct mail_compose_fault){0};
    return mail_message_write(&making->message, &out->message, &making->fault.message);
}

static enum err row_make(struct making *making, struct db *db, const struct outbox_row *row,
                         struct made_mail *out)
{
    if (!mail_kind_parse(span_text(row->kind), &making->kind) || (!row->context && !row->body.data))
        return refuse(out, true, "nothing is known of such a mail", "");
    enum err error = customer_read(db, making, row->customer_id);
    if (error == ERR_NOT_FOUND) return refuse(out, true, "the customer was erased", "");
    if (!error) error = to_open(making, row, &making->to);
    if (error) return error;
    if (!making->to) return refuse(out, true, "the customer has no address any more", "");
    snprintf(out->to, sizeof out->to, "%s", making->to);
    if (!row->body.data) error = row_render(making, row, out);
    if (error) return error;
    message_fill(making);
    error = row->body.data
                ? mail_compose_wrap(&making->message, row->body, &out->message, &making->fault)
                : row_compose(making, out);
    return error == ERR_INVALID ? refuse_fault(making, out) : error;
}

/* The mail goes out all the same, so the alert may be missed: the next one of its kind raises it.
 */
static void template_alert(struct db *db, const struct making *making)
{
    char subject[64];
    CLEANUP(buf_done) struct buf detail = {0};
    snprintf(subject, sizeof subject, "mail/%s", mail_kind_name(making->kind));
    json_open(&detail, NULL, '{');
    json_put_string(&detail, "fault", making->text.fault);
    json_close(&detail, '}');
    buf_add_char(&detail, '\0');
    enum err error = detail.failed ? ERR_NO_MEMORY : db_begin(db);
    if (!error)
        error = alert_raise(db, ALERT_MAIL_TEMPLATES, subject, 0, detail.data, making->now_ms);
    if (!error) error = db_commit(db);
    if (!error) return;
    db_rollback(db);
    log_event(LOG_WARN, "alert_failed", "mail_templates: %s", err_name(error));
}

enum err mail_make(struct mail_maker *maker, struct db *db, const struct outbox_mail *mail,
                   const struct secret *token, int64_t now_ms, struct made_mail *out)
{
    struct making making CLEANUP(making_done) = {.maker = maker,
                                                 .id = mail->row.id,
                                                 .date_ms = mail->row.queued_at,
                                                 .now_ms = now_ms,
                                                 .token = token};
    *out = (struct made_mail){.message = {.limit = MAIL_MESSAGE_MAX, .wipe = true}};
    enum err error = row_make(&making, db, &mail->row, out);
    if (!error && making.text.fault[0]) template_alert(db, &making);
    return error;
}

void made_mail_done(struct made_mail *mail)
{
    buf_done(&mail->message);
}

/* ---- encrypted at once ---- */

static enum err seal(struct making *making, struct db *db, struct notice *notice,
                     const struct customer_keys *keys, struct span secret, struct buf *body)
{
    const struct keyring *keyring = making->maker->keyring;
    const struct customer_row *customer = notice->customer;
    enum err error = ERR_OK;
    making->customer = *customer;
    if (!mail_kind_parse(span_text(notice->kind), &making->kind)) return ERR_INVALID;
    if (keys) making->keys = *keys;
    if (!keys) error = customer_keys_find(db, keyring, customer->id, &making->arena, &making->keys);
    if (!error && !customer->email_sealed.data) error = ERR_NOT_FOUND;
    if (!error)
        error = customer_open(keyring, CUSTOMER_EMAIL, customer->id, customer->email_sealed,
                              &making->arena, &making->to);
    if (!error)
        error = customer_open(keyring, CUSTOMER_NAME, customer->id, customer->name_sealed,
                              &making->arena, &making->name);
    if (!error) error = making_render(making, notice_context(notice), "secret", secret);
    if (error) return error;
    message_fill(making);
    error = message_seal(making, body);
    return error == ERR_INVALID && making->fault.key != MAIL_KEY_GOOD ? ERR_NOT_FOUND : error;
}

enum err mail_maker_seal(struct mail_maker *maker, struct db *db, struct notice *notice,
                         const struct customer_keys *keys, struct span secret, int64_t now_ms,
                         struct buf *body)
{
    struct making making CLEANUP(making_done) = {
        .maker = maker, .id = notice->id, .date_ms = now_ms, .now_ms = now_ms};
    return seal(&making, db, notice, keys, secret, body);
}

/* ---- the maker ---- */

enum err mail_maker_new(struct mail_maker **out, const struct settings *settings,
                        const struct keyring *keyring, const struct mail_templates *templates,
                        const char *base_url)
{
    struct mail_maker *maker = calloc(1, sizeof *maker);
    *out = NULL;
    if (!maker) return ERR_NO_MEMORY;
    maker->keyring = keyring;
    maker->base_url = base_url;
    maker->templates = templates;
    mail_house_init(&maker->house, settings);
    snprintf(maker->outer_subject, sizeof maker->outer_subject, "A message from %.200s",
             maker->house.product);
    /* Tried at the start: a library that must not be used is no surprise of the first mail. */
    enum err error = mail_sealer_new(&maker->sealers[0]);
    if (!error) maker->sealer_count = 1;
    if (!error && pthread_mutex_init(&maker->mutex, NULL)) error = ERR_NO_MEMORY;
    if (error) {
        mail_sealer_free(&maker->sealers[0]);
        free(maker);
        return error;
    }
    *out = maker;
    return ERR_OK;
}

void mail_maker_free(struct mail_maker **maker)
{
    if (!*maker) return;
    for (unsigned i = 0; i < (*maker)->sealer_count; i++)
        mail_sealer_free(&(*maker)->sealers[i]);
    pthread_mutex_destroy(&(*maker)->mutex);
    free(*maker);
    *maker = NULL;
}

const struct mail_house *mail_maker_house(const struct mail_maker *maker)
{
    return &maker->house;
}
