/* X-Forwarded-For is read from the right: each hop appends who it got the call from, so only what
 * trusted proxies appended can be believed; what a client wrote stands further left. */
#include "service/client_address.h"

static struct network trusted[TRUSTED_PROXIES_MAX];
static unsigned trusted_count;

enum err client_address_trust(const char *networks, char error[NETWORK_ERROR_SIZE])
{
    trusted_count = 0;
    for (const char *at = networks; *at;) {
        size_t length = strcspn(at, ", \t");
        if (length) {
            if (trusted_count == TRUSTED_PROXIES_MAX) return ERR_FULL;
            enum err failed = network_parse(span_of(at, length), &trusted[trusted_count], error);
            if (failed) return failed;
            trusted_count++;
        }
        at += length;
        at += strspn(at, ", \t");
    }
    return ERR_OK;
}

static bool is_trusted(const struct address *address)
{
    for (unsigned i = 0; i < trusted_count; i++)
        if (network_contains(&trusted[i], address)) return true;
    return false;
}

static struct span trim(struct span text)
{
    while (text.length && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = span_of(text.data + 1, text.length - 1);
    while (text.length && (text.data[text.length - 1] == ' ' || text.data[text.length - 1] == '\t'))
        text.length--;
    return text;
}

/* From the last header's right end leftwards; stops at the first that no trusted proxy is. Of what
 * is no address ("unknown", one with a port) nobody knows whose it is: not the proxy's, which may
 * stand in an allowed network. */
static struct address forwarded(const struct http_request *request, struct address peer)
{
    struct address result = peer;
    for (size_t i = request->header_count; i-- > 0;) {
        if (!span_is_nocase(request->headers[i].name, "X-Forwarded-For")) continue;
        struct span rest = request->headers[i].value;
        while (rest.length) {
            size_t start = rest.length;
            while (start && rest.data[start - 1] != ',')
                start--;
            struct address hop;
            if (!address_parse(trim(span_of(rest.data + start, rest.length - start)), &hop))
                return (struct address){0};
            result = hop;
            if (!is_trusted(&hop)) return result;
            rest.length = start ? start - 1 : 0;
        }
    }
    return result;
}

struct address client_address(const struct http_request *request)
{
    struct address peer;
    bool known = address_from_sockaddr((const struct sockaddr *)&request->peer, &peer);
    if (!known) peer.length = 0;
    if (known ? !is_trusted(&peer) : !trusted_count) return peer;
    return forwarded(request, peer);
}
