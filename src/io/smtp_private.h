/* SMTP's two halves: smtp.c deals deliveries out to slots, smtp_slot.c speaks to the server over
 * one connection each. Loop thread only.
 *
 *   FREE ── CONNECTING ── READY ◄────────────── RSET
 *     ▲         │          │  ▲                   ▲ refused: 4xx, 5xx
 *     └─────────┴── lost ──┤  └── ANSWER ◄─ BODY ─┤
 *                          └─► MAIL ─► RCPT ─► DATA
 *
 * A slot has a delivery from MAIL to ANSWER. Lost before the last byte of the message was handed to
 * libcurl: TEMPORARY; after that, until an answer is whole: UNKNOWN. */
#ifndef KEYMETER_IO_SMTP_PRIVATE_H
#define KEYMETER_IO_SMTP_PRIVATE_H

#include "io/curl_link.h"
#include "io/loop.h"
#include "io/mail_private.h"
#include "io/smtp_text.h"

enum { SMTP_OUT_SIZE = 16384 };

enum smtp_state {
    SMTP_FREE,       /* no connection */
    SMTP_CONNECTING, /* libcurl is at work */
    SMTP_READY,      /* nothing under way */
    SMTP_MAIL,       /* MAIL FROM was sent */
    SMTP_RCPT,       /* RCPT TO was sent */
    SMTP_DATA,       /* DATA was sent */
    SMTP_BODY,       /* the message goes out */
    SMTP_ANSWER,     /* the end of the message has gone out */
    SMTP_RSET,       /* a refused mail is being undone */
};

struct smtp;

/* What the server said it can do in its newest answer to EHLO. */
struct smtp_offers {
    unsigned lines; /* of that answer so far */
    bool eight_bit, size, logged_in;
    unsigned long long size_limit; /* 0: none told */
};

struct smtp_slot {
    struct smtp *smtp;
    enum smtp_state state;
    struct curl_link *link;
    struct loop_timer *timer;
    struct mail_delivery *delivery;
    struct smtp_offers offers;
    struct smtp_reply reply;
    struct smtp_body body;
    bool end_handed;      /* libcurl was given the last byte of the message */
    unsigned sent;        /* deliveries that this connection has had */
    uint64_t deadline_ms; /* of the delivery */
    size_t out_length, out_at;
    char out[SMTP_OUT_SIZE];
};

struct smtp {
    struct mail_transport transport;
    struct uv_loop_s *loop;
    struct curl_loop *curl;
    struct loop_timer *kick;    /* deals out what waits, at the loop's next turn */
    struct loop_timer *waiting; /* runs out when the oldest that waits has waited too long */
    uint64_t connect_again_ms;  /* no further connection before, while one stands */
    unsigned slot_count;
    struct smtp_slot slots[];
};

/* smtp_slot.c. What they need of the pool they tell it by the functions below. */
MUST_USE enum err slot_init(struct smtp_slot *slot, struct smtp *smtp);
void slot_connect(struct smtp_slot *slot);
void slot_take(struct smtp_slot *slot, struct mail_delivery *delivery); /* of a READY one */
/* Nothing more is begun: ends it unless its mail is wholly sent. */
void slot_wind_up(struct smtp_slot *slot);
/* The connection ends, and with it what is under way. */
void slot_lose(struct smtp_slot *slot, unsigned code, struct span reason);

/* smtp.c: a slot has become READY or FREE. */
void smtp_kick(struct smtp *smtp);
/* No connection came of it. */
void smtp_connect_failed(struct smtp *smtp, unsigned code, struct span reason);

#endif
