/* Carries finished messages away: by SMTP over TLS to the operator's relay (smtp.c), or into a
 * maildir (maildir.c). One message, one sender, one recipient a delivery. Loop thread only.
 *
 * Which result a delivery has decides whether it may be tried again: TEMPORARY says for certain
 * that the message was not accepted, UNKNOWN that it may have been. */
#ifndef KEYMETER_IO_MAIL_TRANSPORT_H
#define KEYMETER_IO_MAIL_TRANSPORT_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/list.h"
#include "base/span.h"

#include <stdbool.h>

struct uv_loop_s;
struct curl_loop;
struct mail_transport;

enum { MAIL_REASON_SIZE = 256, MAIL_ERROR_SIZE = 256 };

enum mail_result {
    MAIL_ACCEPTED,  /* 2xx after the end of the message; or the file stands in new/ */
    MAIL_TEMPORARY, /* 4xx, no connection, no TLS, no login, a deadline: not accepted, send again */
    MAIL_PERMANENT, /* 5xx about this mail: sending it again will not help */
    MAIL_UNKNOWN,   /* the end of the message was sent, and no answer came: may be accepted */
};
const char *mail_result_name(enum mail_result result); /* "accepted" */

/* Fill the first part and keep it and what it points to in place until done. */
struct mail_delivery {
    const char *from;    /* an address (base/mailbox.h), or "": the null sender */
    const char *to;      /* an address */
    struct span message; /* RFC 5322, complete: lines of at most 998 bytes that end with CRLF */
    void (*done)(struct mail_delivery *delivery);
    void *context;
    /* results: */
    enum mail_result result;
    unsigned code;                 /* of SMTP; 0: no reply told it */
    char reason[MAIL_REASON_SIZE]; /* one printable line without secrets, "" when accepted */
    /* the transport's: */
    struct list link;
    unsigned long long since_ms;
    bool has_8bit, again;
};

enum mail_auth { MAIL_AUTH_PLAIN, MAIL_AUTH_LOGIN, MAIL_AUTH_XOAUTH2 };

/* The texts must outlive the transport. */
struct mail_transport_config {
    const char *url;      /* smtps://host[:port][/name], smtp://… (STARTTLS), maildir:/path */
    const char *ca_file;  /* what the relay's certificate must be signed by; NULL: the system's */
    const char *username; /* NULL: no login */
    const char *password_file; /* password or XOAUTH2 token, 0600; read for each connection */
    enum mail_auth auth;
    unsigned connections;        /* at once, 1…32 */
    unsigned queue;              /* deliveries that wait for a connection; past it ERR_FULL */
    unsigned connect_timeout_ms; /* until TLS stands and the login is through */
    unsigned answer_timeout_ms;  /* for each answer, and for some of the message to go out */
    unsigned timeout_ms;         /* waiting in the queue; then again the whole mail */
};

/* ERR_INVALID with a text that names the setting: a url of another kind, a maildir that cannot be
 * made; ERR_NO_MEMORY. Connections are made when there is something to send. */
MUST_USE enum err mail_transport_new(struct mail_transport **out, struct uv_loop_s *loop,
                                     struct curl_loop *curl,
                                     const struct mail_transport_config *config,
                                     char error[MAIL_ERROR_SIZE]);
/* ERR_OK: done runs exactly once, on the loop, never inside. Otherwise it does not run: ERR_FULL,
 * try later; ERR_CLOSED, the transport stops; ERR_INVALID, an address or a message that can never
 * be sent, delivery->reason says why; ERR_NO_MEMORY. */
MUST_USE enum err mail_submit(struct mail_transport *transport, struct mail_delivery *delivery);
/* How many more mail_submit would take now. */
unsigned mail_transport_room(const struct mail_transport *transport);
/* Ends what waits and what is not wholly sent yet (TEMPORARY), gives what was sent wholly up to
 * drain_ms for its answer (then UNKNOWN), frees the transport, then calls closed on the loop, never
 * inside. Before curl_loop_stop. */
void mail_transport_stop(struct mail_transport *transport, unsigned drain_ms,
                         void (*closed)(void *context), void *context);

#endif
