/* Listening addresses from their text and back, and the number of connections by client address. */
#ifndef KEYMETER_IO_HTTP_ADDRESS_H
#define KEYMETER_IO_HTTP_ADDRESS_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <sys/socket.h>

struct address_table;

/* "127.0.0.1:80", "localhost:80", "[::1]:80", "unix:/path" or "/path". ERR_INVALID: `error` says
 * why; a TCP address beyond loopback is wrong too, unless clear text is allowed. */
MUST_USE enum err http_address_allowed(const char *text, bool allow_cleartext,
                                       struct sockaddr_storage *out, socklen_t *length, char *error,
                                       size_t error_size);
void http_address_format(const struct sockaddr_storage *address, char out[128]);
bool http_address_is_loopback(const struct sockaddr_storage *address);
/* Counts a connection of that address; false (and not counted) when `limit` stand already. */
MUST_USE bool http_address_take(struct address_table **table, const struct sockaddr_storage *peer,
                                unsigned limit);
void http_address_give_back(struct address_table *table, const struct sockaddr_storage *peer);
void http_address_free(struct address_table **table);

#endif
