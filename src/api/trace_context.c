/* Reading `traceparent`. Called for each line of the request log, on the loop thread. What always
 * holds: ids that are handed out are lower-case hex digits only, so they need no escaping. Later
 * versions may be longer, but begin as version 00 does. */
#include "api/trace_context.h"

enum { VERSION_00_LENGTH = 55, TRACE_AT = 3, TRACE_LENGTH = 32, SPAN_AT = 36, SPAN_LENGTH = 16 };

/* Lower-case hex digits. */
static bool is_hex(const char *at, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!((at[i] >= '0' && at[i] <= '9') || (at[i] >= 'a' && at[i] <= 'f'))) return false;
    return true;
}

static bool is_zero(const char *at, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (at[i] != '0') return false;
    return true;
}

bool trace_context_parse(struct span header, struct trace_context *out)
{
    const char *at = header.data;
    if (header.length < VERSION_00_LENGTH) return false;
    if (!is_hex(at, 2) || (at[0] == 'f' && at[1] == 'f')) return false;
    if (at[2] != '-' || at[35] != '-' || at[52] != '-') return false;
    if (!is_hex(at + TRACE_AT, TRACE_LENGTH) || is_zero(at + TRACE_AT, TRACE_LENGTH)) return false;
    if (!is_hex(at + SPAN_AT, SPAN_LENGTH) || is_zero(at + SPAN_AT, SPAN_LENGTH)) return false;
    if (!is_hex(at + 53, 2)) return false;
    bool longer = header.length > VERSION_00_LENGTH;
    if (longer && (is_zero(at, 2) || at[VERSION_00_LENGTH] != '-')) return false;
    *out = (struct trace_context){span_of(at + TRACE_AT, TRACE_LENGTH),
                                  span_of(at + SPAN_AT, SPAN_LENGTH)};
    return true;
}
