/* What every mail of this installation says of whose it is: sender, reply address, the product and
 * where its customers find help. Made once from the settings; afterwards read-only, any thread. */
#ifndef KEYMETER_SERVICE_MAIL_HOUSE_H
#define KEYMETER_SERVICE_MAIL_HOUSE_H

#include "base/mailbox.h"

struct settings;

/* Texts borrow the settings' or stand in it: it must stay where it is. */
struct mail_house {
    struct mailbox from, reply_to; /* reply_to.address "": none */
    const char *product;
    const char *support_email, *documentation_url, *endpoint; /* NULL: none */
    const char *header;   /* the request header that carries a key */
    const char *language; /* a tag; "": English */
};

/* Only where mail.url is not empty; the settings have been checked. */
void mail_house_init(struct mail_house *house, const struct settings *settings);
/* Behind the @ of the sender's address: also of Message-IDs. */
const char *mail_house_domain(const struct mail_house *house);

#endif
