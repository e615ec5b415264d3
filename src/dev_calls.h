/* What `keymeterd dev` asks of its own API once it listens: the first sign-up, then one call to be
 * shown and the usage after it. Loop thread. */
#ifndef KEYMETER_DEV_CALLS_H
#define KEYMETER_DEV_CALLS_H

#include "base/buf.h"
#include "base/secret.h"
#include "io/curl_loop.h"

#include <stdbool.h>

enum { DEV_URL_SIZE = 256, DEV_LINE_SIZE = 256, DEV_CALLS_ERROR_SIZE = 512 };

struct dev_calls {
    /* filled by the caller: */
    struct curl_loop *curl;
    /* "http://…", the gateway also "unix:/…"; "": only the API */
    char api[DEV_URL_SIZE], gateway[DEV_URL_SIZE];
    const struct secret *token;
    void *context;
    void (*done)(struct dev_calls *calls, enum err error);
    /* given when the key stands already, else made by the sign-up: */
    char customer_id[24], key_id[24];
    struct secret *key;
    bool made;           /* by a sign-up just now */
    struct buf signup;   /* its answer */
    struct buf shown;    /* the gateway's answer with its head */
    struct buf usage;    /* the key's usage after it */
    long status;         /* the gateway's */
    unsigned unanswered; /* times that the shown call was answered 503 */
    char error[DEV_CALLS_ERROR_SIZE];
    /* its own: */
    struct curl_call call;
    struct buf body;
    char url[DEV_URL_SIZE + 64];
    const char *socket;
    char name[40];
    struct secret *line; /* the header with a secret */
    const char *headers[4];
    bool again;
};

/* The path of a "unix:/…" address, else NULL. */
const char *dev_calls_socket(const char *address);
/* done runs once, later, unless this fails. */
MUST_USE enum err dev_calls_start(struct dev_calls *calls);
void dev_calls_done(struct dev_calls *calls);

#endif
