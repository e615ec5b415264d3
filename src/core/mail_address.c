/* The syntax of addresses. Called by core/mail_message.c for every address of a mail, and by
 * whoever takes one in. What always holds: an address that passes has no character by which a
 * header or an SMTP command could end, go on, or mean something else. */
#include "core/mail_address.h"

enum { ID_MAX = 250, NAME_MAX_LENGTH = 63 };

static bool is_letter_or_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_atom(struct span text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!is_letter_or_digit(text.data[i]) &&
            (!text.data[i] || !strchr("!#$%&'*+-/=?^_`{|}~", text.data[i])))
            return false;
    return text.length > 0;
}

static bool is_name(struct span text)
{
    if (!text.length || text.length > NAME_MAX_LENGTH) return false;
    for (size_t i = 0; i < text.length; i++)
        if (!is_letter_or_digit(text.data[i]) && text.data[i] != '-') return false;
    return text.data[0] != '-' && text.data[text.length - 1] != '-';
}

/* Each part between dots is good; none is empty. */
static bool is_dotted(struct span text, bool (*is_part)(struct span))
{
    for (;;) {
        const char *dot = text.length ? memchr(text.data, '.', text.length) : NULL;
        size_t length = dot ? (size_t)(dot - text.data) : text.length;
        if (!is_part(span_of(text.data, length))) return false;
        if (!dot) return true;
        text = span_of(dot + 1, text.length - length - 1);
    }
}

static bool is_pair(struct span text, size_t left_max, bool (*is_right_part)(struct span))
{
    const char *at = text.length ? memchr(text.data, '@', text.length) : NULL;
    if (!at) return false;
    size_t left = (size_t)(at - text.data);
    return left <= left_max && is_dotted(span_of(text.data, left), is_atom) &&
           is_dotted(span_of(at + 1, text.length - left - 1), is_right_part);
}

bool mail_address_valid(struct span address)
{
    return address.length <= MAIL_ADDRESS_MAX && is_pair(address, MAIL_LOCAL_MAX, is_name);
}

bool mail_id_valid(struct span id)
{
    return id.length <= ID_MAX && is_pair(id, ID_MAX, is_atom);
}
