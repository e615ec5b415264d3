/* The house whose mails these are. Called at start, on the loop thread, and by `mail preview`. */
#include "service/mail_house.h"

#include "conf/settings.h"

#include <string.h>

const char *mail_house_domain(const struct mail_house *house)
{
    const char *at = strrchr(house->from.address, '@');
    return at ? at + 1 : house->from.address;
}

static void mailbox_take(struct mailbox *out, const char *text)
{
    if (!mailbox_parse(span_text(text), out)) *out = (struct mailbox){0};
}

void mail_house_init(struct mail_house *house, const struct settings *settings)
{
    *house = (struct mail_house){.header = "X-API-Key", .language = ""};
    mailbox_take(&house->from, settings->mail.from);
    mailbox_take(&house->reply_to, settings->mail.reply_to);
    house->product = house->from.name[0] ? house->from.name : mail_house_domain(house);
    house->support_email = house->reply_to.address[0] ? house->reply_to.address : NULL;
}
