/* Addresses: listening addresses from their text, their text again, and how many connections each
 * client address has (an IPv6 client is its /64). Called by the server on the loop. The table holds
 * an entry only while its address has a connection. */
#include "io/http_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum { BUCKETS = 4096 };

struct address_entry {
    struct address_entry *next;
    uint64_t key;
    unsigned count;
};

struct address_table {
    struct address_entry *buckets[BUCKETS];
};

static enum err parse_unix(const char *path, struct sockaddr_storage *out, socklen_t *length,
                           char *error, size_t error_size)
{
    struct sockaddr_un *address = (struct sockaddr_un *)out;
    size_t size = strlen(path);
    if (size >= sizeof address->sun_path) {
        snprintf(error, error_size, "the socket path %.40s... is longer than %zu bytes", path,
                 sizeof address->sun_path - 1);
        return ERR_INVALID;
    }
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, size + 1);
    *length = sizeof *address;
    return ERR_OK;
}

static bool port_parse(const char *text, uint16_t *port)
{
    unsigned value = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits]) return false;
    for (size_t i = 0; i < digits; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    *port = htons((uint16_t)value);
    return value <= 65535;
}

static enum err address_parse(const char *text, struct sockaddr_storage *out, socklen_t *length,
                              char *error, size_t error_size)
{
    memset(out, 0, sizeof *out);
    if (strncmp(text, "unix:", 5) == 0) return parse_unix(text + 5, out, length, error, error_size);
    if (text[0] == '/') return parse_unix(text, out, length, error, error_size);
    char host[INET6_ADDRSTRLEN + 2] = "";
    const char *colon = strrchr(text, ':');
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    if (colon && (size_t)(colon - text) < sizeof host) memcpy(host, text, (size_t)(colon - text));
    size_t host_length = strlen(host);
    if (host[0] == '[' && host[host_length - 1] == ']') {
        host[host_length - 1] = '\0';
        if (port_parse(colon + 1, &v6->sin6_port) &&
            inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1) {
            v6->sin6_family = AF_INET6;
            *length = sizeof *v6;
            return ERR_OK;
        }
    } else if (host[0]) {
        const char *name = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
        if (port_parse(colon + 1, &v4->sin_port) && inet_pton(AF_INET, name, &v4->sin_addr) == 1) {
            v4->sin_family = AF_INET;
            *length = sizeof *v4;
            return ERR_OK;
        }
    }
    snprintf(error, error_size,
             "%.100s is no address to listen on: write 127.0.0.1:7070, [::1]:7070 or "
             "unix:/run/name.sock",
             text);
    return ERR_INVALID;
}

void http_address_format(const struct sockaddr_storage *address, char out[128])
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->ss_family == AF_UNIX) {
        snprintf(out, 128, "%s", ((const struct sockaddr_un *)address)->sun_path);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(out, 128, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(out, 128, "%s:%u", host, ntohs(v4->sin_port));
    }
}

bool http_address_is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_UNIX) return true;
    if (address->ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
    uint32_t v4 = ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr);
    return v4 >> 24 == 127;
}

enum err http_address_allowed(const char *text, bool allow_cleartext, struct sockaddr_storage *out,
                              socklen_t *length, char *error, size_t error_size)
{
    enum err result = address_parse(text, out, length, error, error_size);
    if (result || allow_cleartext || http_address_is_loopback(out)) return result;
    snprintf(error, error_size,
             "%.128s is beyond loopback and there is no TLS here: listen on 127.0.0.1 or a Unix "
             "socket behind a TLS proxy, or set listen.allow_cleartext = yes",
             text);
    return ERR_INVALID;
}

/* IPv4 has a key of 32 bits; of IPv6 the first 64 are one, never below 2^32 in practice. */
static uint64_t key_of(const struct sockaddr_storage *peer)
{
    uint64_t key = 0;
    if (peer->ss_family != AF_INET6) return ((const struct sockaddr_in *)peer)->sin_addr.s_addr;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)peer)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(v6)) {
        memcpy(&key, v6->s6_addr + 12, 4);
        return key;
    }
    memcpy(&key, v6->s6_addr, sizeof key);
    return key;
}

static struct address_entry **slot_of(struct address_table *table, uint64_t key)
{
    struct address_entry **slot =
        &table->buckets[key * UINT64_C(0x9E3779B97F4A7C15) >> 52 & (BUCKETS - 1)];
    while (*slot && (*slot)->key != key)
        slot = &(*slot)->next;
    return slot;
}

bool http_address_take(struct address_table **table, const struct sockaddr_storage *peer,
                       unsigned limit)
{
    if (!*table) *table = calloc(1, sizeof **table);
    if (!*table) return false;
    struct address_entry **slot = slot_of(*table, key_of(peer));
    if (!*slot) {
        *slot = calloc(1, sizeof **slot);
        if (!*slot) return false;
        (*slot)->key = key_of(peer);
    }
    if ((*slot)->count >= limit) return false;
    (*slot)->count++;
    return true;
}

void http_address_give_back(struct address_table *table, const struct sockaddr_storage *peer)
{
    struct address_entry **slot = slot_of(table, key_of(peer));
    struct address_entry *entry = *slot;
    if (!entry || --entry->count > 0) return;
    *slot = entry->next;
    free(entry);
}

void http_address_free(struct address_table **table)
{
    if (!*table) return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while ((*table)->buckets[i]) {
            struct address_entry *entry = (*table)->buckets[i];
            (*table)->buckets[i] = entry->next;
            free(entry);
        }
    }
    free(*table);
    *table = NULL;
}
