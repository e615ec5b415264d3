/* Comma-joined permission lists. Asked for every call that names permissions, on the loop; lists
 * are short, so a scan beats any index. */
#include "core/permission.h"

bool permission_next(struct span *rest, struct span *name)
{
    if (!rest->length) return false;
    const char *comma = memchr(rest->data, ',', rest->length);
    size_t length = comma ? (size_t)(comma - rest->data) : rest->length;
    size_t skip = length + (comma ? 1 : 0);
    *name = (struct span){rest->data, length};
    *rest = (struct span){rest->data + skip, rest->length - skip};
    return true;
}

bool permission_valid(struct span name)
{
    if (name.length == 0 || name.length > PERMISSION_MAX) return false;
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        if (c <= ' ' || c >= 0x7F || c == ',' || c == '"' || c == '\'' || c == '\\') return false;
    }
    return true;
}

bool permissions_valid(struct span joined)
{
    struct span name;
    unsigned count = 0;
    if (joined.length && joined.data[joined.length - 1] == ',') return false;
    while (permission_next(&joined, &name))
        if (++count > PERMISSIONS_MAX || !permission_valid(name) || permission_has(joined, name))
            return false;
    return true;
}

bool permission_has(struct span joined, struct span name)
{
    struct span had;
    if (!name.length) return false;
    while (permission_next(&joined, &had))
        if (span_equal(had, name)) return true;
    return false;
}

bool permission_all(struct span joined, struct span wanted)
{
    struct span name;
    if (wanted.length && wanted.data[wanted.length - 1] == ',') return false;
    while (permission_next(&wanted, &name))
        if (!permission_has(joined, name)) return false;
    return true;
}
