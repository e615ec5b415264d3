/* The common front of the transports: checks each delivery, then hands it to the kind that the url
 * names. Called by the mailer (service) on the loop thread. What always holds: no address and no
 * message that could break out of SMTP's lines goes past here. */
#include "io/mail_private.h"

#include "base/mailbox.h"
#include "io/smtp_text.h"

#include <stdio.h>

static const char maildir_scheme[] = "maildir:";

const char *mail_result_name(enum mail_result result)
{
    static const char *const names[] = {"accepted", "temporary", "permanent", "unknown"};
    return names[result];
}

/* ---- the queue ---- */

void mail_waiting_append(struct mail_transport *transport, struct mail_delivery *delivery)
{
    list_append(&transport->waiting, &delivery->link);
    transport->waiting_count++;
}

void mail_waiting_prepend(struct mail_transport *transport, struct mail_delivery *delivery)
{
    list_prepend(&transport->waiting, &delivery->link);
    transport->waiting_count++;
}

struct mail_delivery *mail_waiting_shift(struct mail_transport *transport)
{
    struct list *link = list_shift(&transport->waiting);
    if (!link) return NULL;
    transport->waiting_count--;
    return CONTAINER_OF(link, struct mail_delivery, link);
}

void mail_delivery_end(struct mail_delivery *delivery, enum mail_result result, unsigned code,
                       struct span reason)
{
    delivery->result = result;
    delivery->code = code;
    smtp_reason(delivery->reason, sizeof delivery->reason, reason);
    delivery->done(delivery);
}

/* Those there are now: done may submit further ones. */
void mail_waiting_end(struct mail_transport *transport, unsigned code, struct span reason)
{
    for (unsigned left = transport->waiting_count; left; left--) {
        struct mail_delivery *delivery = mail_waiting_shift(transport);
        if (!delivery) return;
        mail_delivery_end(delivery, MAIL_TEMPORARY, code, reason);
    }
}

/* ---- the front ---- */

enum err mail_transport_new(struct mail_transport **out, struct uv_loop_s *loop,
                            struct curl_loop *curl, const struct mail_transport_config *config,
                            char error[MAIL_ERROR_SIZE])
{
    struct span url = span_text(config->url);
    enum err result = ERR_INVALID;
    *out = NULL;
    error[0] = '\0';
    if (span_starts(url, maildir_scheme))
        result = maildir_new(out, loop, config, url.data + sizeof maildir_scheme - 1, error);
    else if (span_starts(url, "smtps://") || span_starts(url, "smtp://"))
        result = smtp_new(out, loop, curl, config);
    else
        snprintf(error, MAIL_ERROR_SIZE, "mail.url must begin with smtps://, smtp:// or maildir:");
    if (result == ERR_NO_MEMORY) snprintf(error, MAIL_ERROR_SIZE, "no memory");
    return result;
}

static const char *delivery_wrong(struct mail_delivery *delivery)
{
    if (delivery->from[0] && !mailbox_address_is_good(span_text(delivery->from)))
        return "the sender is not an address of plain ASCII such as name@example.com";
    if (!mailbox_address_is_good(span_text(delivery->to)))
        return "the recipient is not an address of plain ASCII such as name@example.com";
    return smtp_message_wrong(delivery->message, &delivery->has_8bit);
}

enum err mail_submit(struct mail_transport *transport, struct mail_delivery *delivery)
{
    if (transport->stopping) return ERR_CLOSED;
    const char *wrong = delivery_wrong(delivery);
    if (wrong) {
        delivery->result = MAIL_PERMANENT;
        delivery->code = 0;
        snprintf(delivery->reason, sizeof delivery->reason, "%s", wrong);
        return ERR_INVALID;
    }
    if (mail_transport_room(transport) == 0) return ERR_FULL;
    delivery->again = false;
    return transport->kind->submit(transport, delivery);
}

unsigned mail_transport_room(const struct mail_transport *transport)
{
    unsigned waiting = transport->waiting_count, queue = transport->config.queue;
    return transport->stopping || waiting >= queue ? 0 : queue - waiting;
}

void mail_transport_stop(struct mail_transport *transport, unsigned drain_ms,
                         void (*closed)(void *context), void *context)
{
    transport->stopping = true;
    transport->closed = closed;
    transport->closed_context = context;
    transport->kind->stop(transport, drain_ms);
}
