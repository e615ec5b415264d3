/* What a mail address may be. Called for every address that comes from outside (api, conf) and
 * again by io before one is sent, so that none can carry a line of its own into SMTP. */
#include "base/mailbox.h"

enum { LOCAL_MAX = 64 };

bool mailbox_address_is_good(struct span address)
{
    if (address.length < 3 || address.length >= MAILBOX_ADDRESS_SIZE) return false;
    const char *at = memchr(address.data, '@', address.length);
    if (!at || at == address.data || at - address.data > LOCAL_MAX) return false;
    size_t domain = address.length - (size_t)(at + 1 - address.data);
    if (domain == 0 || memchr(at + 1, '@', domain)) return false;
    for (size_t i = 0; i < address.length; i++)
        if (address.data[i] <= ' ' || address.data[i] > '~' ||
            strchr("<>()[],;:\\\"", address.data[i]))
            return false;
    return true;
}

static bool name_is_good(struct span name)
{
    if (name.length >= MAILBOX_NAME_SIZE) return false;
    for (size_t i = 0; i < name.length; i++)
        if (name.data[i] < ' ' || name.data[i] > '~' || strchr("<>\"\\", name.data[i]))
            return false;
    return true;
}

static void copy(char *out, struct span text)
{
    if (text.length) memcpy(out, text.data, text.length);
    out[text.length] = '\0';
}

bool mailbox_parse(struct span text, struct mailbox *out)
{
    struct span name = {0}, address = text;
    const char *open = text.length ? memchr(text.data, '<', text.length) : NULL;
    if (open) {
        if (text.data[text.length - 1] != '>') return false;
        name = span_of(text.data, (size_t)(open - text.data));
        while (name.length && name.data[name.length - 1] == ' ')
            name.length--;
        address = span_of(open + 1, text.length - (size_t)(open + 1 - text.data) - 1);
    }
    if (!name_is_good(name) || !mailbox_address_is_good(address)) return false;
    copy(out->name, name);
    copy(out->address, address);
    return true;
}
