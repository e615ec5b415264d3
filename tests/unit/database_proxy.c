/* The relay of database_proxy.h: one thread that polls a listening Unix socket and pairs of
 * sockets. A pair's number is the connection's id, read out of the server's greeting. Everything
 * shared with the test's thread is under one lock. */
#include "database_proxy.h"

#include "database.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PAIRS = 256, CHUNK = 65536, GREETING_MAX = 256, SAID = 16384, KEPT = 1 << 20 };

struct pair {
    int client, server; /* -1: closed */
    uint64_t id;        /* 0: the greeting has not come */
    bool muted, cut, held;
    char *said, *kept; /* by the client, at first; by the server, while held */
    size_t said_length, kept_length;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pair pairs[PAIRS]; /* used: server != 0 */
static size_t pair_count;
static const char *rewrite_from, *rewrite_to;
static int listener;
static struct sockaddr_un here = {.sun_family = AF_UNIX}, there = {.sun_family = AF_UNIX};
static struct db_config config;

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "database proxy: %s (%s)\n", what, strerror(errno));
    exit(1);
}

static void end(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void accept_one(void)
{
    int client = accept(listener, NULL, NULL), server = socket(AF_UNIX, SOCK_STREAM, 0);
    size_t at = 0;
    if (client < 0 || server < 0) give_up("accept");
    if (connect(server, (struct sockaddr *)&there, sizeof there)) end(&server);
    while (at < pair_count && (pairs[at].client >= 0 || pairs[at].server >= 0))
        at++;
    if (at == PAIRS) give_up("too many connections");
    if (at == pair_count) pair_count++;
    if (server < 0) end(&client);
    free(pairs[at].said);
    free(pairs[at].kept);
    pairs[at] = (struct pair){
        .client = client, .server = server, .said = malloc(SAID), .kept = malloc(KEPT)};
    if (!pairs[at].said || !pairs[at].kept) give_up("memory");
}

/* Length and number, version 10, the server's version as text, then the connection's id. */
static uint64_t greeting_id(const unsigned char *bytes, size_t length)
{
    size_t at = 5;
    if (length > GREETING_MAX) length = GREETING_MAX;
    while (at < length && bytes[at])
        at++;
    if (at + 5 > length) give_up("no greeting");
    at++;
    return bytes[at] | (uint64_t)bytes[at + 1] << 8 | (uint64_t)bytes[at + 2] << 16 |
           (uint64_t)bytes[at + 3] << 24;
}

static bool send_all(int to, const void *bytes, size_t length)
{
    for (size_t sent = 0; sent < length;) {
        ssize_t more = send(to, (const char *)bytes + sent, length - sent, MSG_NOSIGNAL);
        if (more <= 0) return false;
        sent += (size_t)more;
    }
    return true;
}

static bool server_speaks(struct pair *pair, unsigned char *bytes)
{
    ssize_t length = recv(pair->server, bytes, CHUNK, 0);
    if (length <= 0) return false;
    if (!pair->id) pair->id = greeting_id(bytes, (size_t)length);
    if (pair->muted || pair->client < 0) return true;
    if (!pair->held) return send_all(pair->client, bytes, (size_t)length);
    if (pair->kept_length + (size_t)length > KEPT) give_up("too much kept back");
    memcpy(pair->kept + pair->kept_length, bytes, (size_t)length);
    pair->kept_length += (size_t)length;
    return true;
}

static bool client_speaks(struct pair *pair, unsigned char *bytes)
{
    ssize_t length = recv(pair->client, bytes, CHUNK, 0);
    if (length <= 0) return false;
    size_t room = SAID - pair->said_length, more = (size_t)length < room ? (size_t)length : room;
    memcpy(pair->said + pair->said_length, bytes, more);
    pair->said_length += more;
    char *found =
        rewrite_from ? memmem(bytes, (size_t)length, rewrite_from, strlen(rewrite_from)) : NULL;
    if (found) memcpy(found, rewrite_to, strlen(rewrite_to));
    return send_all(pair->server, bytes, (size_t)length);
}

static void pair_turn(struct pair *pair, short client_events, short server_events)
{
    static unsigned char bytes[CHUNK];
    if (server_events && pair->server >= 0 && !server_speaks(pair, bytes)) {
        end(&pair->server);
        end(&pair->client);
    }
    if (client_events && pair->client >= 0 && !client_speaks(pair, bytes)) {
        end(&pair->client);
        if (!pair->cut) end(&pair->server);
    }
}

static void *relay(void *unused)
{
    (void)unused;
    static struct pollfd fds[1 + 2 * PAIRS];
    for (;;) {
        pthread_mutex_lock(&lock);
        size_t count = pair_count;
        fds[0] = (struct pollfd){.fd = listener, .events = POLLIN};
        for (size_t i = 0; i < count; i++) {
            fds[1 + 2 * i] = (struct pollfd){.fd = pairs[i].client, .events = POLLIN};
            fds[2 + 2 * i] = (struct pollfd){.fd = pairs[i].server, .events = POLLIN};
        }
        pthread_mutex_unlock(&lock);
        if (poll(fds, 1 + 2 * count, -1) < 0 && errno != EINTR) give_up("poll");
        pthread_mutex_lock(&lock);
        for (size_t i = 0; i < count; i++)
            pair_turn(&pairs[i], fds[1 + 2 * i].revents, fds[2 + 2 * i].revents);
        if (fds[0].revents) accept_one();
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

const struct db_config *database_proxy_start(void)
{
    if (listener) return &config;
    config = *database_start();
    snprintf(there.sun_path, sizeof there.sun_path, "%.90s", config.socket);
    snprintf(here.sun_path, sizeof here.sun_path, "%.90s.relay", config.socket);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 64))
        give_up("listen");
    config.socket = here.sun_path;
    pthread_t thread;
    if (pthread_create(&thread, NULL, relay, NULL)) give_up("thread");
    pthread_detach(thread);
    return &config;
}

static struct pair *pair_find(uint64_t id)
{
    for (size_t i = 0; i < pair_count; i++)
        if (pairs[i].id == id && pairs[i].client >= 0) return &pairs[i];
    return NULL;
}

bool database_proxy_mute(uint64_t connection)
{
    pthread_mutex_lock(&lock);
    struct pair *pair = pair_find(connection);
    if (pair) pair->muted = true;
    pthread_mutex_unlock(&lock);
    return pair != NULL;
}

bool database_proxy_cut(uint64_t connection)
{
    pthread_mutex_lock(&lock);
    struct pair *pair = pair_find(connection);
    if (pair) {
        pair->cut = true;
        shutdown(pair->client, SHUT_RDWR);
    }
    pthread_mutex_unlock(&lock);
    return pair != NULL;
}

uint64_t database_proxy_find(const char *text)
{
    uint64_t id = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < pair_count; i++)
        if (pairs[i].client >= 0 && pairs[i].id > id &&
            memmem(pairs[i].said, pairs[i].said_length, text, strlen(text)))
            id = pairs[i].id;
    pthread_mutex_unlock(&lock);
    return id;
}

bool database_proxy_hold(uint64_t connection, bool on)
{
    pthread_mutex_lock(&lock);
    struct pair *pair = pair_find(connection);
    if (pair) {
        pair->held = on;
        if (!on && !send_all(pair->client, pair->kept, pair->kept_length)) pair = NULL;
        if (pair && !on) pair->kept_length = 0;
    }
    pthread_mutex_unlock(&lock);
    return pair != NULL;
}

bool database_proxy_holds(uint64_t connection)
{
    pthread_mutex_lock(&lock);
    struct pair *pair = pair_find(connection);
    bool holds = pair && pair->kept_length > 0;
    pthread_mutex_unlock(&lock);
    return holds;
}

void database_proxy_rewrite(const char *from, const char *to)
{
    pthread_mutex_lock(&lock);
    rewrite_from = from;
    rewrite_to = to;
    pthread_mutex_unlock(&lock);
}
