/* See wire.h. Everything is non-blocking and on one thread, so that an input always goes the same
 * way; a connection that does not come to its end within TURNS_MAX turns is a finding. */
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

enum { TURNS_MAX = 2000, ANSWERS_MAX = 32 << 20 };

static uv_loop_t loop;
static struct http_server *server;
static char folder[64], bound[WIRE_LISTENERS][128];
static unsigned listeners;
static void (*after)(void);

static void wire_end(void)
{
    for (unsigned i = 0; i < listeners; i++)
        unlink(bound[i]);
    rmdir(folder);
}

static void wire_begin(void)
{
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.30s/keymeter-fuzz-XXXXXX", parent ? parent : "/tmp");
    FUZZ_CHECK(mkdtemp(folder) != NULL);
    FUZZ_CHECK(uv_loop_init(&loop) == 0);
    FUZZ_CHECK(http_server_new(&server, &loop) == ERR_OK);
    atexit(wire_end);
}

unsigned wire_listen(struct http_listen_config config)
{
    const char *why = "";
    char path[100];
    if (!server) wire_begin();
    FUZZ_CHECK(listeners < WIRE_LISTENERS);
    snprintf(path, sizeof path, "unix:%s/%u", folder, listeners);
    config.address = path;
    if (http_listen(server, &config, bound[listeners], &why) != ERR_OK) {
        fprintf(stderr, "listen: %s\n", why);
        abort();
    }
    return listeners++;
}

void wire_after_turn(void (*after_turn)(void))
{
    after = after_turn;
}

static void turn(void)
{
    uv_run(&loop, UV_RUN_NOWAIT);
    if (after) after();
}

static int dial(unsigned listener)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.107s", bound[listener]);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    turn(); /* accepted before the first piece comes */
    return fd;
}

/* Sends one piece; the bytes that are left. */
static struct span send_piece(int fd, struct span left, struct cutter *cutter)
{
    size_t piece = cutter_next(cutter, left.length);
    ssize_t n = send(fd, left.data, piece, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return left;
    size_t used = n < 0 ? left.length : (size_t)n; /* it does not listen any more */
    return span_of(left.data + used, left.length - used);
}

/* False: the server has closed. */
static bool receive(int fd, struct buf *answers)
{
    for (;;) {
        char *room = buf_reserve(answers, 65536);
        FUZZ_CHECK(room != NULL);
        ssize_t n = recv(fd, room, 65536, 0);
        if (n < 0 && errno == EAGAIN) return true;
        if (n <= 0) return false;
        answers->length += (size_t)n;
    }
}

void wire_talk(unsigned listener, struct span bytes, struct cutter cutter, struct buf *answers)
{
    buf_clear(answers);
    answers->limit = ANSWERS_MAX;
    int fd = dial(listener);
    unsigned idle = 0; /* turns since everything was sent */
    do {
        FUZZ_CHECK(idle < TURNS_MAX);
        if (bytes.length)
            bytes = send_piece(fd, bytes, &cutter);
        else if (idle++ == 0)
            shutdown(fd, SHUT_WR);
        turn();
    } while (receive(fd, answers));
    close(fd);
    struct http_server_stats stats;
    for (unsigned i = 0;; i++) {
        http_server_get_stats(server, &stats);
        if (stats.open == 0) return;
        FUZZ_CHECK(i < TURNS_MAX);
        turn();
    }
}

static size_t content_length(struct span head)
{
    static const char name[] = "\r\nContent-Length: ";
    const char *field = memmem(head.data, head.length, name, sizeof name - 1);
    return field ? strtoul(field + sizeof name - 1, NULL, 10) : 0;
}

bool wire_answer_next(struct span *answers, struct wire_answer *answer)
{
    while (answers->length) {
        const char *end = memmem(answers->data, answers->length, "\r\n\r\n", 4);
        FUZZ_CHECK(end != NULL && span_starts(*answers, "HTTP/1.1 "));
        size_t head = (size_t)(end - answers->data) + 4;
        answer->status = (int)strtol(answers->data + 9, NULL, 10);
        answer->head = span_of(answers->data, head);
        size_t body = answer->announced = content_length(answer->head);
        if (answers->length == head) body = 0; /* the answer to HEAD */
        FUZZ_CHECK(body <= answers->length - head);
        answer->body = span_of(answers->data + head, body);
        *answers = span_of(answers->data + head + body, answers->length - head - body);
        if (answer->status != 100) return true;
    }
    return false;
}
