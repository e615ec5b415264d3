/* The client's address behind trusted proxies. Loop thread. */
#ifndef KEYMETER_SERVICE_CLIENT_ADDRESS_H
#define KEYMETER_SERVICE_CLIENT_ADDRESS_H

#include "core/network.h"
#include "io/http.h"

enum { TRUSTED_PROXIES_MAX = 32 };

/* The networks of listen.trusted_proxies, in CIDR between commas or spaces; at start. A Unix
 * socket's peer is trusted when the list is not empty. ERR_INVALID with the text that cannot be
 * read. */
MUST_USE enum err client_address_trust(const char *networks, char error[NETWORK_ERROR_SIZE]);

/* The peer's address; when the peer is a trusted proxy, the last address of X-Forwarded-For that is
 * not a trusted proxy itself. Length 0: unknown (a Unix socket without that header). */
struct address client_address(const struct http_request *request);

#endif
