/* Addresses and networks. Parsed from requests and proxies' headers, compared on the loop for every
 * call of a key that has allowed networks. IPv4-mapped addresses become IPv4 in one place, here. */
#include "core/network.h"

#include "base/codec.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

enum { MAPPED_BITS = 96 };

static const unsigned char mapped_head[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

static void set_bytes(struct address *address, const void *bytes, unsigned length)
{
    *address = (struct address){.length = length};
    memcpy(address->bytes, bytes, length);
}

static bool is_mapped(const unsigned char *bytes)
{
    return memcmp(bytes, mapped_head, sizeof mapped_head) == 0;
}

static void set_ipv6(struct address *address, const unsigned char *bytes)
{
    if (is_mapped(bytes))
        set_bytes(address, bytes + sizeof mapped_head, 4);
    else
        set_bytes(address, bytes, 16);
}

/* inet_pton takes no leading zeros, octal, zone or brackets. */
static bool parse_bytes(struct span text, unsigned char bytes[16], unsigned *length)
{
    char copy[ADDRESS_TEXT_SIZE];
    if (!text.length || text.length >= sizeof copy || memchr(text.data, '\0', text.length))
        return false;
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    *length = 4;
    if (inet_pton(AF_INET, copy, bytes) == 1) return true;
    *length = 16;
    return inet_pton(AF_INET6, copy, bytes) == 1;
}

bool address_parse(struct span text, struct address *address)
{
    unsigned char bytes[16];
    unsigned length;
    if (!parse_bytes(text, bytes, &length)) return false;
    if (length == 4)
        set_bytes(address, bytes, 4);
    else
        set_ipv6(address, bytes);
    return true;
}

bool address_from_sockaddr(const struct sockaddr *from, struct address *address)
{
    *address = (struct address){0};
    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof in);
        set_bytes(address, &in.sin_addr, 4);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, from, sizeof in6);
        set_ipv6(address, in6.sin6_addr.s6_addr);
        return true;
    }
    return false;
}

void address_format(const struct address *address, char out[ADDRESS_TEXT_SIZE])
{
    int family = address->length == 4 ? AF_INET : AF_INET6;
    if (!address->length || !inet_ntop(family, address->bytes, out, ADDRESS_TEXT_SIZE))
        out[0] = '\0';
}

bool address_is_loopback(const struct address *address)
{
    static const unsigned char ipv6[16] = {[15] = 1};
    if (address->length == 4) return address->bytes[0] == 127;
    return address->length == 16 && memcmp(address->bytes, ipv6, 16) == 0;
}

/* Clears what lies behind the first `prefix` bits; true when something was set there. */
static bool clear_host_bits(struct address *address, unsigned prefix)
{
    bool was_set = false;
    for (unsigned i = prefix / 8; i < address->length; i++) {
        unsigned char keep =
            i == prefix / 8 ? (unsigned char)(0xFF00u >> prefix % 8) : (unsigned char)0;
        was_set |= (address->bytes[i] & ~keep) != 0;
        address->bytes[i] &= keep;
    }
    return was_set;
}

void address_prefix(const struct address *address, struct address *out)
{
    *out = *address;
    if (address->length) clear_host_bits(out, address->length == 4 ? 24 : 64);
}

/* Splits "address/prefix"; without a prefix all bits count. */
static bool parse_parts(struct span text, unsigned char bytes[16], unsigned *length,
                        uint64_t *prefix)
{
    const char *slash = text.length ? memchr(text.data, '/', text.length) : NULL;
    struct span head = {text.data, slash ? (size_t)(slash - text.data) : text.length};
    if (!parse_bytes(head, bytes, length)) return false;
    uint64_t bits = (uint64_t)*length * 8;
    *prefix = bits;
    if (!slash) return true;
    struct span tail = {slash + 1, text.length - head.length - 1};
    if (tail.length > 1 && tail.data[0] == '0') return false;
    return u64_parse(tail, bits, prefix);
}

enum err network_parse(struct span text, struct network *network, char error[NETWORK_ERROR_SIZE])
{
    unsigned char bytes[16];
    unsigned length;
    uint64_t prefix;
    error[0] = '\0';
    if (!parse_parts(text, bytes, &length, &prefix)) {
        snprintf(error, NETWORK_ERROR_SIZE,
                 "must be an IPv4 or IPv6 network such as 203.0.113.0/24 or 2001:db8::/32");
        return ERR_INVALID;
    }
    if (length == 16 && prefix >= MAPPED_BITS && is_mapped(bytes)) {
        set_ipv6(&network->base, bytes);
        prefix -= MAPPED_BITS;
    } else {
        set_bytes(&network->base, bytes, length);
    }
    network->prefix = (unsigned)prefix;
    if (!clear_host_bits(&network->base, network->prefix)) return ERR_OK;
    char canonical[NETWORK_TEXT_SIZE];
    network_format(network, canonical);
    snprintf(error, NETWORK_ERROR_SIZE,
             "has bits set behind its prefix: write %s for the network, or the address alone",
             canonical);
    return ERR_INVALID;
}

void network_format(const struct network *network, char out[NETWORK_TEXT_SIZE])
{
    char address[ADDRESS_TEXT_SIZE];
    address_format(&network->base, address);
    snprintf(out, NETWORK_TEXT_SIZE, "%s/%u", address, network->prefix);
}

bool network_contains(const struct network *network, const struct address *address)
{
    if (!address->length || address->length != network->base.length) return false;
    unsigned whole = network->prefix / 8, bits = network->prefix % 8;
    if (memcmp(network->base.bytes, address->bytes, whole) != 0) return false;
    if (!bits) return true;
    unsigned keep = 0xFF00u >> bits & 0xFF;
    return ((network->base.bytes[whole] ^ address->bytes[whole]) & keep) == 0;
}
