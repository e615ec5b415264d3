/* The house whose mails these are. Called at start, on the loop thread, by whoever renders a mail,
 * and by `mail preview`. */
#include "service/mail_house.h"

#include "conf/settings.h"

#include <stdio.h>
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

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

/* Each stands in for the other one. */
static void replies_take(struct mail_house *house, const struct settings *settings)
{
    const char *reply_to = settings->mail.reply_to, *support = settings->product.support;
    mailbox_take(&house->reply_to, reply_to[0] ? reply_to : support);
    mailbox_take(&house->support, support[0] ? support : reply_to);
    house->support_email = or_null(house->support.address);
}

/* "Authorization: Bearer": the name, and the scheme behind it. */
static void header_take(struct mail_house *house, const char *header)
{
    const char *colon = strchr(header, ':');
    house->scheme = colon ? colon + 2 : NULL;
    snprintf(house->header, sizeof house->header, "%.*s",
             colon ? (int)(colon - header) : (int)sizeof house->header, header);
}

void mail_house_init(struct mail_house *house, const struct settings *settings)
{
    *house = (struct mail_house){
        .product = settings->product.name,
        .documentation_url = or_null(settings->product.documentation_url),
        .endpoint = or_null(settings->product.endpoint),
        .language = settings->mail.language,
    };
    mailbox_take(&house->from, settings->mail.from);
    replies_take(house, settings);
    header_take(house, settings->product.header);
    if (!house->product[0])
        house->product = house->from.name[0] ? house->from.name : mail_house_domain(house);
}

static bool knows(enum mail_kind kind, const char *name)
{
    const struct template_variable *tables[] = {mail_common_variables, mail_kind_variables(kind)};
    for (size_t i = 0; i < COUNT_OF(tables); i++)
        for (const struct template_variable *at = tables[i]; at->name; at++)
            if (strcmp(at->name, name) == 0) return true;
    return false;
}

enum err mail_house_add(const struct mail_house *house, json_t *context, enum mail_kind kind,
                        const char *client_id, const char *customer_name)
{
    const struct {
        const char *name, *value;
    } all[] = {
        {"product", house->product},
        {"client_id", client_id},
        {"customer_name", customer_name},
        {"support_email", house->support_email},
        {"documentation_url", house->documentation_url},
        {"endpoint", house->endpoint},
        {"header", house->header},
        {"scheme", house->scheme},
    };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (!all[i].value || !all[i].value[0] || !knows(kind, all[i].name)) continue;
        if (json_object_set_new(context, all[i].name, json_string(all[i].value)))
            return ERR_NO_MEMORY;
    }
    return ERR_OK;
}
