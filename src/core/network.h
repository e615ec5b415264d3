/* IPv4 and IPv6 addresses and networks (CIDR). IPv4-mapped IPv6 (::ffff:a.b.c.d) is IPv4 always.
 * Pure, any thread. */
#ifndef KEYMETER_CORE_NETWORK_H
#define KEYMETER_CORE_NETWORK_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

enum { ADDRESS_TEXT_SIZE = 46, NETWORK_TEXT_SIZE = 50, NETWORK_ERROR_SIZE = 128 };

struct sockaddr;

struct address {
    unsigned char bytes[16];
    unsigned length; /* 4 or 16; 0: unknown */
};

struct network {
    struct address base; /* host bits clear */
    unsigned prefix;     /* 0…32 or 0…128 */
};

/* Strict: four decimals without leading zeros, or RFC 4291 text; no zone, port or brackets. */
MUST_USE bool address_parse(struct span text, struct address *address);
/* False for other families (a Unix socket): address->length is 0 then. */
bool address_from_sockaddr(const struct sockaddr *from, struct address *address);
void address_format(const struct address *address, char out[ADDRESS_TEXT_SIZE]); /* 0: empty */
bool address_is_loopback(const struct address *address);
/* The address with host bits cleared to /24 or /64: what last-used records keep. */
void address_prefix(const struct address *address, struct address *out);

/* "10.0.0.0/8", "2001:db8::/32" or a single address. Host bits that are set are refused; `error`
 * names what would be accepted. ERR_INVALID. */
MUST_USE enum err network_parse(struct span text, struct network *network,
                                char error[NETWORK_ERROR_SIZE]);
void network_format(const struct network *network, char out[NETWORK_TEXT_SIZE]);
/* False when either is of the other family or unknown. */
MUST_USE bool network_contains(const struct network *network, const struct address *address);

#endif
