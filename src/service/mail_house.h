/* What every mail of this installation says of whose it is: sender, reply address, the product and
 * where its customers find help. Made once from the settings; afterwards read-only, any thread. */
#ifndef KEYMETER_SERVICE_MAIL_HOUSE_H
#define KEYMETER_SERVICE_MAIL_HOUSE_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/mailbox.h"
#include "service/mail_kind.h"

#include <jansson.h>

struct settings;

/* Texts borrow the settings' or stand in it: it must stay where it is. */
struct mail_house {
    struct mailbox from;     /* address "": mail.from is not set */
    struct mailbox reply_to; /* address "": none */
    struct mailbox support;
    const char *product;                                      /* "": nobody has said */
    const char *support_email, *documentation_url, *endpoint; /* NULL: none */
    char header[104];     /* the request header that carries a key */
    const char *scheme;   /* what precedes the key in it, "Bearer"; NULL: nothing */
    const char *language; /* a tag; "": English */
};

/* The settings have been checked. */
void mail_house_init(struct mail_house *house, const struct settings *settings);
/* Behind the @ of the sender's address: also of Message-IDs. */
const char *mail_house_domain(const struct mail_house *house);
/* Adds to a mail's context what the house says and this kind knows: product, support_email,
 * documentation_url, endpoint, header, scheme; and the customer's client_id (external_id) and
 * customer_name (NULL or "": none). `context` is an object. ERR_NO_MEMORY. */
MUST_USE enum err mail_house_add(const struct mail_house *house, json_t *context,
                                 enum mail_kind kind, const char *client_id,
                                 const char *customer_name);

#endif
