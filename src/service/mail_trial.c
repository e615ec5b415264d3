/* Previews and test mails. Called by api/mails.c on the loop thread: rendering is bounded
 * (base/template.h), and composing a test mail is little. What always holds: neither has anything
 * of a customer in it, and a test mail goes out as all mail does, by the mailer's transport. */
#include "service/mail_trial.h"

#include "base/clock.h"
#include "base/codec.h"
#include "core/mail_message.h"
#include "service/context.h"
#include "service/mail_house.h"
#include "service/mail_maker.h"
#include "service/mailer.h"

#include <stdio.h>

enum { ID_SIZE = 300, SUBJECT_SIZE = 300, BODY_SIZE = 1024 };

enum err mail_trial_render(const struct service *service, enum mail_kind kind,
                           enum mail_shape shape, const char *language, struct mail_text *out)
{
    struct mail_house house;
    *out = (struct mail_text){0};
    mail_house_init(&house, service->settings);
    json_t *context = mail_example(kind, shape);
    if (!context) return ERR_NO_MEMORY;
    enum err error = mail_house_add(&house, context, kind, NULL, NULL);
    if (!error)
        error = mail_render(service->templates, kind, language[0] ? language : house.language,
                            context, out);
    mail_context_free(&context);
    return error;
}

/* ---- a test mail ---- */

static void delivered(struct mail_delivery *delivery)
{
    struct mail_trial *trial = CONTAINER_OF(delivery, struct mail_trial, delivery);
    buf_done(&trial->message);
    trial->done(trial);
}

static struct mail_party party_of(const struct mailbox *mailbox)
{
    return (struct mail_party){span_text(mailbox->name), span_text(mailbox->address)};
}

static enum err compose(const struct mail_house *house, struct mail_trial *trial)
{
    char id[ID_TEXT_SIZE], message_id[ID_SIZE], subject[SUBJECT_SIZE], text[BODY_SIZE];
    struct mail_fault fault;
    int64_t now_ms = clock_wall_ms();
    id_format(id, "ntf", id_new());
    snprintf(message_id, sizeof message_id, "%s@%.254s", id, mail_house_domain(house));
    snprintf(subject, sizeof subject, "Test mail from %.200s", house->product);
    snprintf(text, sizeof text,
             "This is a test: the mails about API keys of %.200s go out as this one did.\n"
             "\nAn administrator asked for it. There is nothing to do.\n",
             house->product);
    const struct mail_message message = {
        .from = party_of(&house->from),
        .to = {.address = span_text(trial->to)},
        .reply_to = party_of(&house->reply_to),
        .subject = span_text(subject),
        .outer_subject = span_text(subject),
        .message_id = span_text(message_id),
        .date_s = now_ms / 1000,
        .boundary = SPAN("keymetertestmailwithoutparts"),
        .text = span_text(text),
    };
    enum err error = mail_message_write(&message, &trial->message, &fault);
    if (error == ERR_INVALID)
        snprintf(trial->delivery.reason, sizeof trial->delivery.reason, "%s: %s", fault.field,
                 fault.reason);
    return error;
}

enum err mail_trial_send(struct service *service, struct mail_trial *trial)
{
    if (!service->mailer || !service->maker) return ERR_NOT_FOUND;
    const struct mail_house *house = mail_maker_house(service->maker);
    trial->message = (struct buf){.limit = MAIL_MESSAGE_MAX};
    trial->delivery =
        (struct mail_delivery){.from = house->from.address, .to = trial->to, .done = delivered};
    enum err error = compose(house, trial);
    trial->delivery.message = buf_span(&trial->message);
    if (!error) error = mailer_submit(service->mailer, &trial->delivery);
    if (error) buf_done(&trial->message);
    return error;
}
