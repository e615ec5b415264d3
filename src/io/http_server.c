/* The server around its connections: listening, accepting, deadlines, the flush of late answers,
 * and the way down. Called by app.c and libuv, on the loop. All handles (`handles`) are counted;
 * when the server is stopping and the last one has closed, the memory goes and `closed` is called,
 * so that uv_loop_close() finds nothing left. */
#include "io/http_private.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { SWEEP_MS = 250, BACKLOG = 1024 };

/* ---- deadlines and late answers ---- */

static void on_sweep(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    uint64_t now = uv_now(server->loop);
    http_exchange_deadlines(server);
    for (struct list *at = server->listeners.next; at != &server->listeners; at = at->next) {
        struct http_listener *listener = CONTAINER_OF(at, struct http_listener, link);
        if (listener->stalled && !server->stopping) http_connection_accept(listener);
        for (size_t i = 0; i < TIMER_NONE; i++) {
            struct list *head = &listener->timers[i];
            while (!list_empty(head)) {
                struct http_connection *connection =
                    CONTAINER_OF(head->next, struct http_connection, timed);
                if (connection->deadline_ms > now) break;
                http_connection_timeout(connection);
            }
        }
    }
}

static void flush_dirty(struct http_server *server)
{
    for (struct list *link; (link = list_shift(&server->dirty));)
        http_connection_pump(CONTAINER_OF(link, struct http_connection, dirty),
                             (struct span){NULL, 0});
}

static void on_prepare(uv_prepare_t *prepare)
{
    flush_dirty(prepare->data);
}

static void on_check(uv_check_t *check)
{
    flush_dirty(check->data);
}

const char *http_server_date(struct http_server *server)
{
    uint64_t now = uv_now(server->loop);
    if (now < server->date_until_ms) return server->date;
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t wall_ms = clock_wall_ms();
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    snprintf(server->date, sizeof server->date, "Date: %.3s, %02u %.3s %04u %02u:%02u:%02u GMT\r\n",
             days + 3 * (tm.tm_wday % 7), (unsigned)tm.tm_mday % 100, months + 3 * (tm.tm_mon % 12),
             (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
             (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
    server->date_until_ms = now + (uint64_t)(1000 - wall_ms % 1000);
    return server->date;
}

/* ---- start ---- */

enum err http_server_new(struct http_server **out, uv_loop_t *loop)
{
    struct http_server *server = calloc(1, sizeof *server);
    *out = NULL;
    if (!server) return ERR_NO_MEMORY;
    if (getrandom(&server->id_seed, sizeof server->id_seed, 0) != sizeof server->id_seed) {
        free(server);
        return ERR_IO;
    }
    signal(SIGPIPE, SIG_IGN); /* libuv writes without MSG_NOSIGNAL */
    server->loop = loop;
    list_init(&server->listeners);
    list_init(&server->connections);
    list_init(&server->dirty);
    list_init(&server->orphans);
    list_init(&server->pool);
    list_init(&server->awaited);
    uv_timer_init(loop, &server->sweep);
    uv_timer_init(loop, &server->drain);
    uv_prepare_init(loop, &server->prepare);
    uv_check_init(loop, &server->check);
    server->sweep.data = server->drain.data = server->prepare.data = server->check.data = server;
    server->handles = 4;
    uv_timer_start(&server->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    uv_prepare_start(&server->prepare, on_prepare);
    uv_check_start(&server->check, on_check);
    /* Only listeners and connections keep the loop alive. */
    uv_unref((uv_handle_t *)&server->sweep);
    uv_unref((uv_handle_t *)&server->prepare);
    uv_unref((uv_handle_t *)&server->check);
    *out = server;
    return ERR_OK;
}

static enum err fail(struct http_server *server, enum err error, const char *format, ...)
    PRINTF_LIKE(3, 4);
static enum err fail(struct http_server *server, enum err error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(server->error_text, sizeof server->error_text, format, arguments);
    va_end(arguments);
    return error;
}

/* A socket file that nobody listens on any more (after a kill -9) is removed. */
static enum err stale_socket_remove(struct http_server *server, const struct sockaddr_un *address)
{
    struct stat file;
    if (lstat(address->sun_path, &file) < 0)
        return errno == ENOENT
                   ? ERR_OK
                   : fail(server, ERR_IO, "%.108s: %s", address->sun_path, strerror(errno));
    if (!S_ISSOCK(file.st_mode))
        return fail(server, ERR_EXISTS, "%.108s exists and is no socket: move it away",
                    address->sun_path);
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) return fail(server, ERR_IO, "socket: %s", strerror(errno));
    int refused = connect(probe, (const struct sockaddr *)address, sizeof *address) < 0 ? errno : 0;
    close(probe);
    if (refused != ECONNREFUSED)
        return fail(server, ERR_EXISTS, "%.108s: another process listens there", address->sun_path);
    if (unlink(address->sun_path) < 0)
        return fail(server, ERR_IO, "%.108s: %s", address->sun_path, strerror(errno));
    return ERR_OK;
}

static enum err socket_bind(struct http_server *server, const struct http_listen_config *config,
                            const struct sockaddr_storage *address, socklen_t length, int *out)
{
    int on = 1;
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return fail(server, ERR_IO, "%s: %s", config->address, strerror(errno));
    bool bad = false;
    if (address->ss_family == AF_UNIX) {
        fchmod(fd, 0660); /* the file is never open to more than it shall be */
    } else {
        bad = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0;
        if (config->reuse_port) bad |= setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0;
        if (address->ss_family == AF_INET6)
            bad |= setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0;
    }
    int buffer = HTTP_SEND_BUFFER; /* accepted sockets inherit it */
    bad |= setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer) < 0;
    if (bad || bind(fd, (const struct sockaddr *)address, length) < 0) {
        int why = errno;
        close(fd);
        return fail(server, why == EADDRINUSE ? ERR_EXISTS : ERR_IO, "cannot listen on %.128s: %s",
                    config->address, strerror(why));
    }
    *out = fd;
    return ERR_OK;
}

static void limits_fill(struct http_limits *limits, bool loopback)
{
    if (!limits->head_bytes) limits->head_bytes = 16384;
    if (!limits->headers) limits->headers = 64;
    if (!limits->body_bytes) limits->body_bytes = 65536;
    if (!limits->pipelined) limits->pipelined = 8;
    if (!limits->head_timeout_ms) limits->head_timeout_ms = 10000;
    if (!limits->body_timeout_ms) limits->body_timeout_ms = 30000;
    if (!limits->idle_timeout_ms) limits->idle_timeout_ms = 75000;
    if (!limits->write_timeout_ms) limits->write_timeout_ms = 30000;
    if (!limits->connections) limits->connections = 10000;
    if (!limits->connections_per_address && !loopback) limits->connections_per_address = 1000;
}

static void on_connection(uv_stream_t *stream, int status)
{
    if (status == 0) http_connection_accept(stream->data);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct http_listener *listener = handle->data;
    http_server_handle_closed(listener->server);
}

/* Hands the bound socket to libuv; from here on the listener is closed by the server's stop. */
static enum err listener_start(struct http_listener *listener, int fd)
{
    struct http_server *server = listener->server;
    int made = listener->path[0] ? uv_pipe_init(server->loop, &listener->pipe, 0)
                                 : uv_tcp_init(server->loop, &listener->tcp);
    if (made < 0) {
        close(fd);
        free(listener);
        return fail(server, ERR_IO, "listen: %s", uv_strerror(made));
    }
    listener->handle.data = listener;
    server->handles++;
    list_append(&server->listeners, &listener->link);
    int failed =
        listener->path[0] ? uv_pipe_open(&listener->pipe, fd) : uv_tcp_open(&listener->tcp, fd);
    if (failed < 0) close(fd);
    if (!failed) failed = uv_listen(&listener->stream, BACKLOG, on_connection);
    if (failed < 0) {
        uv_close(&listener->handle, on_listener_closed);
        return fail(server, ERR_IO, "listen: %s", uv_strerror(failed));
    }
    return ERR_OK;
}

static struct http_listener *listener_new(struct http_server *server,
                                          const struct http_listen_config *config, bool loopback)
{
    struct http_listener *listener = calloc(1, sizeof *listener);
    if (!listener) return NULL;
    listener->server = server;
    listener->config = *config;
    listener->config.address = NULL;
    limits_fill(&listener->config.limits, loopback);
    for (size_t i = 0; i < TIMER_NONE; i++)
        list_init(&listener->timers[i]);
    return listener;
}

static void listener_note_path(struct http_listener *listener, const struct sockaddr_un *address)
{
    struct stat file;
    memcpy(listener->path, address->sun_path, sizeof listener->path);
    chmod(listener->path, 0660); /* whatever the umask took away */
    if (lstat(listener->path, &file) < 0) return;
    listener->device = file.st_dev;
    listener->inode = file.st_ino;
}

enum err http_listen(struct http_server *server, const struct http_listen_config *config,
                     char bound[128], const char **error_text)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    int fd = -1;
    *error_text = server->error_text;
    enum err error = http_address_allowed(config->address, config->allow_cleartext, &address,
                                          &length, server->error_text, sizeof server->error_text);
    if (error != ERR_OK) return error;
    bool loopback = http_address_is_loopback(&address);
    if (address.ss_family == AF_UNIX)
        error = stale_socket_remove(server, (const struct sockaddr_un *)&address);
    if (error == ERR_OK) error = socket_bind(server, config, &address, length, &fd);
    if (error != ERR_OK) return error;
    struct http_listener *listener = listener_new(server, config, loopback);
    if (!listener) {
        close(fd);
        return fail(server, ERR_NO_MEMORY, "no memory to listen on %.128s", config->address);
    }
    if (address.ss_family == AF_UNIX)
        listener_note_path(listener, (const struct sockaddr_un *)&address);
    else if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        length = 0; /* the text then shows the port asked for */
    http_address_format(&address, bound);
    return listener_start(listener, fd);
}

/* ---- stop ---- */

static void server_free(struct http_server *server)
{
    for (struct list *link; (link = list_shift(&server->listeners));)
        free(CONTAINER_OF(link, struct http_listener, link));
    http_exchange_free_all(server);
    http_address_free(&server->addresses);
    void (*closed)(void *context) = server->closed;
    void *context = server->closed_context;
    free(server);
    if (closed) closed(context);
}

static void on_own_closed(uv_handle_t *handle)
{
    http_server_handle_closed(handle->data);
}

/* Called for each handle that has closed. When only the server's own four are left they go too. */
void http_server_handle_closed(struct http_server *server)
{
    server->handles--;
    if (!server->stopping) return;
    if (server->handles == 0) {
        server_free(server);
        return;
    }
    if (server->handles != 4 || uv_is_closing((uv_handle_t *)&server->sweep)) return;
    uv_close((uv_handle_t *)&server->sweep, on_own_closed);
    uv_close((uv_handle_t *)&server->drain, on_own_closed);
    uv_close((uv_handle_t *)&server->prepare, on_own_closed);
    uv_close((uv_handle_t *)&server->check, on_own_closed);
}

static void on_drain_deadline(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    struct list *next;
    for (struct list *at = server->connections.next; at != &server->connections; at = next) {
        next = at->next;
        http_connection_close(CONTAINER_OF(at, struct http_connection, link));
    }
}

static void listener_stop(struct http_listener *listener)
{
    struct stat file;
    if (listener->path[0] && lstat(listener->path, &file) == 0 && file.st_dev == listener->device &&
        file.st_ino == listener->inode)
        unlink(listener->path);
    if (!uv_is_closing(&listener->handle)) uv_close(&listener->handle, on_listener_closed);
}

void http_server_stop(struct http_server *server, unsigned deadline_ms,
                      void (*closed)(void *context), void *context)
{
    if (server->stopping) return;
    server->stopping = true;
    server->closed = closed;
    server->closed_context = context;
    for (struct list *at = server->listeners.next; at != &server->listeners; at = at->next)
        listener_stop(CONTAINER_OF(at, struct http_listener, link));
    uv_update_time(server->loop);
    uv_timer_start(&server->drain, on_drain_deadline, deadline_ms, 0);
    struct list *next;
    for (struct list *at = server->connections.next; at != &server->connections; at = next) {
        next = at->next;
        http_connection_settle(CONTAINER_OF(at, struct http_connection, link));
    }
    /* With no listener and no connection nothing else would ever call this. */
    server->handles++;
    http_server_handle_closed(server);
}

void http_server_get_stats(const struct http_server *server, struct http_server_stats *stats)
{
    *stats = server->stats;
}

bool http_server_get_listener(const struct http_server *server, unsigned at,
                              struct http_listener_stats *stats)
{
    for (const struct list *link = server->listeners.next; link != &server->listeners;
         link = link->next) {
        const struct http_listener *listener = CONTAINER_OF(link, struct http_listener, link);
        if (at--) continue;
        *stats =
            (struct http_listener_stats){.name = listener->config.name, .open = listener->open};
        memcpy(stats->answers, listener->answers, sizeof stats->answers);
        return true;
    }
    return false;
}
