/* The pool of SMTP connections: deliveries wait in one queue, connections are made while more wait
 * than connections are ready, and each takes the next when it is. Called through mail_transport.c
 * on the loop thread. What always holds: no done inside submit; a relay that cannot be reached ends
 * what waits only when no connection stands at all; at the end no link and no timer is left. */
#include "io/smtp_private.h"

#include <stdlib.h>

/* While a connection stands and another could not be made (a relay's limit), so long for the next.
 */
enum { CONNECT_AGAIN_MS = 5000 };

static struct smtp *smtp_of(struct mail_transport *transport)
{
    return CONTAINER_OF(transport, struct smtp, transport);
}

static unsigned count_of(const struct smtp *smtp, enum smtp_state state)
{
    unsigned count = 0;
    for (unsigned i = 0; i < smtp->slot_count; i++)
        count += smtp->slots[i].state == state;
    return count;
}

void smtp_kick(struct smtp *smtp)
{
    loop_timer_start(smtp->kick, 0, 0);
}

/* ---- what waits ---- */

static void waiting_watch(struct smtp *smtp)
{
    struct mail_transport *transport = &smtp->transport;
    if (list_empty(&transport->waiting)) {
        loop_timer_stop(smtp->waiting);
        return;
    }
    struct mail_delivery *oldest =
        CONTAINER_OF(transport->waiting.next, struct mail_delivery, link);
    uint64_t due = oldest->since_ms + transport->config.timeout_ms;
    uint64_t now = loop_now_ms(smtp->loop);
    loop_timer_start(smtp->waiting, due > now ? due - now : 0, 0);
}

static void on_waited(void *context)
{
    struct smtp *smtp = context;
    struct mail_delivery *oldest = mail_waiting_shift(&smtp->transport);
    waiting_watch(smtp);
    if (oldest)
        mail_delivery_end(oldest, MAIL_TEMPORARY, 0, SPAN("no connection came free in time"));
}

/* ---- dealing out ---- */

static void connect_more(struct smtp *smtp)
{
    unsigned wanted = smtp->transport.waiting_count, connecting = count_of(smtp, SMTP_CONNECTING);
    bool none = count_of(smtp, SMTP_FREE) == smtp->slot_count;
    if (!none && loop_now_ms(smtp->loop) < smtp->connect_again_ms) return;
    for (unsigned i = 0; i < smtp->slot_count && connecting < wanted; i++) {
        if (smtp->slots[i].state != SMTP_FREE) continue;
        slot_connect(&smtp->slots[i]);
        if (smtp->slots[i].state == SMTP_FREE) return; /* it failed at once, and was told */
        connecting++;
    }
}

static void smtp_end(struct smtp *smtp)
{
    void (*closed)(void *context) = smtp->transport.closed;
    void *context = smtp->transport.closed_context;
    for (unsigned i = 0; i < smtp->slot_count; i++)
        loop_timer_free(&smtp->slots[i].timer);
    loop_timer_free(&smtp->waiting);
    loop_timer_free(&smtp->kick);
    free(smtp);
    if (closed) closed(context);
}

static void on_kick(void *context)
{
    struct smtp *smtp = context;
    struct mail_transport *transport = &smtp->transport;
    if (transport->stopping) {
        if (count_of(smtp, SMTP_FREE) == smtp->slot_count) smtp_end(smtp);
        return;
    }
    for (unsigned i = 0; i < smtp->slot_count && !transport->stopping; i++) {
        struct smtp_slot *slot = &smtp->slots[i];
        while (slot->state == SMTP_READY && !transport->stopping) {
            struct mail_delivery *delivery = mail_waiting_shift(transport);
            if (!delivery) break;
            slot_take(slot, delivery);
        }
    }
    if (!transport->stopping && !list_empty(&transport->waiting)) connect_more(smtp);
    if (!transport->stopping) waiting_watch(smtp);
}

void smtp_connect_failed(struct smtp *smtp, unsigned code, struct span reason)
{
    smtp->connect_again_ms = loop_now_ms(smtp->loop) + CONNECT_AGAIN_MS;
    if (count_of(smtp, SMTP_FREE) < smtp->slot_count) return;
    mail_waiting_end(&smtp->transport, code, reason);
}

/* ---- the transport ---- */

static enum err smtp_submit(struct mail_transport *transport, struct mail_delivery *delivery)
{
    struct smtp *smtp = smtp_of(transport);
    delivery->since_ms = loop_now_ms(smtp->loop);
    mail_waiting_append(transport, delivery);
    smtp_kick(smtp);
    return ERR_OK;
}

/* The time for the last answers is over. */
static void on_drained(void *context)
{
    struct smtp *smtp = context;
    for (unsigned i = 0; i < smtp->slot_count; i++)
        if (smtp->slots[i].state != SMTP_FREE)
            slot_lose(&smtp->slots[i], 0, SPAN("the daemon stops"));
}

static void smtp_stop(struct mail_transport *transport, unsigned drain_ms)
{
    struct smtp *smtp = smtp_of(transport);
    loop_timer_free(&smtp->waiting);
    enum err error = loop_timer_new(&smtp->waiting, smtp->loop, on_drained, smtp);
    mail_waiting_end(transport, 0, SPAN("the daemon stops"));
    for (unsigned i = 0; i < smtp->slot_count; i++)
        slot_wind_up(&smtp->slots[i]);
    if (error == ERR_OK)
        loop_timer_start(smtp->waiting, drain_ms, 0);
    else
        on_drained(smtp);
    smtp_kick(smtp);
}

static const struct mail_transport_kind smtp_kind = {.submit = smtp_submit, .stop = smtp_stop};

static enum err timers_new(struct smtp *smtp)
{
    enum err error = loop_timer_new(&smtp->kick, smtp->loop, on_kick, smtp);
    if (error == ERR_OK) error = loop_timer_new(&smtp->waiting, smtp->loop, on_waited, smtp);
    for (unsigned i = 0; i < smtp->slot_count && error == ERR_OK; i++)
        error = slot_init(&smtp->slots[i], smtp);
    return error;
}

enum err smtp_new(struct mail_transport **out, struct uv_loop_s *loop, struct curl_loop *curl,
                  const struct mail_transport_config *config)
{
    struct smtp *smtp = calloc(1, sizeof *smtp + config->connections * sizeof smtp->slots[0]);
    if (!smtp) return ERR_NO_MEMORY;
    smtp->transport.kind = &smtp_kind;
    smtp->transport.config = *config;
    list_init(&smtp->transport.waiting);
    smtp->loop = loop;
    smtp->curl = curl;
    smtp->slot_count = config->connections;
    enum err error = timers_new(smtp);
    if (error == ERR_OK)
        *out = &smtp->transport;
    else
        smtp_end(smtp);
    return error;
}
