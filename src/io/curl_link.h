/* A connection that libcurl makes (name, TCP, TLS or STARTTLS, EHLO, AUTH; CURLOPT_CONNECT_ONLY)
 * and its owner then speaks over, because libcurl itself waits for the answer to a mail's last line
 * with the whole loop standing still (docs/decisions/0006-smtp-over-links.md). Loop thread only.
 *
 * TLS is had before anything but the greeting, EHLO and STARTTLS is said, or the link fails. */
#ifndef KEYMETER_IO_CURL_LINK_H
#define KEYMETER_IO_CURL_LINK_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <stdbool.h>

struct curl_loop;
struct curl_link;

enum curl_link_event {
    CURL_LINK_UP,     /* connected, TLS stands, logged in */
    CURL_LINK_FAILED, /* no connection; curl_link_error tells why */
    CURL_LINK_READY,  /* there is something to read, or room to write what waits */
    CURL_LINK_GONE,   /* the loop stops: only curl_link_close is left */
};

struct curl_link_config {
    const char *url;             /* smtp:// or smtps:// */
    const char *ca_file;         /* NULL: the system's */
    const char *username;        /* NULL: no login */
    const char *password;        /* or the XOAUTH2 token; a copy lives until the link is up */
    const char *mechanism;       /* "PLAIN", "LOGIN", "XOAUTH2": this one alone */
    unsigned connect_timeout_ms; /* until it is up */
    /* Each line of the server's until the link is up, with its line end. May only look. */
    void (*line)(void *context, struct span line);
    void (*event)(void *context, enum curl_link_event event);
    void *context;
};

/* event is never called inside. Texts of the config are copied. ERR_NO_MEMORY, ERR_CLOSED. */
MUST_USE enum err curl_link_open(struct curl_link **out, struct curl_loop *loop,
                                 const struct curl_link_config *config);
/* ERR_OK with *got 0: nothing there now, READY will tell. ERR_CLOSED: the peer has closed; ERR_IO:
 * the connection is broken. */
MUST_USE enum err curl_link_read(struct curl_link *link, void *out, size_t size, size_t *got);
/* ERR_OK with less than length sent: READY will tell when to go on, with the rest of the very same
 * bytes at the same place. ERR_IO: the connection is broken, and what arrived is unknown. */
MUST_USE enum err curl_link_write(struct curl_link *link, const char *data, size_t length,
                                  size_t *sent);
/* Why it failed, and whether that was the login. */
const char *curl_link_error(const struct curl_link *link);
bool curl_link_login_failed(const struct curl_link *link);
/* At once, wherever it stands, without a word to the server; no event comes afterwards. NULL is
 * fine. */
void curl_link_close(struct curl_link **link);

#endif
