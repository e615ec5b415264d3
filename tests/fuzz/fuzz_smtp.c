/* SMTP's texts: a server's replies and a message's way through DATA. What must hold: replies read
 * the same in any pieces, none is longer than its bounds; what is told of them is one printable
 * line with no long run; a message that is taken is got back by a server that undoubles dots, and
 * its end is the only end of data. Input: a byte that says how it is cut, then the bytes, taken as
 * replies and as a message. */
#include "fuzz.h"
#include "io/smtp_text.h"

#include <string.h>

enum { REPLIES_MAX = 64, PIECE_MAX = 256 };

struct seen {
    unsigned count, codes[REPLIES_MAX];
    bool wrong;
};

static void replies_read(struct span bytes, struct cutter cutter, struct seen *seen)
{
    struct smtp_reply reply = {0};
    while (bytes.length && !seen->wrong && seen->count < REPLIES_MAX) {
        size_t used, length = cutter_next(&cutter, bytes.length);
        enum smtp_reading reading = smtp_reply_read(&reply, span_of(bytes.data, length), &used);
        FUZZ_CHECK(used <= length && (used == length || reading != SMTP_READING_MORE));
        FUZZ_CHECK(reply.length <= sizeof reply.line);
        bytes = span_of(bytes.data + used, bytes.length - used);
        if (reading == SMTP_READING_MORE) continue;
        seen->wrong = reading == SMTP_READING_WRONG;
        if (seen->wrong) return;
        FUZZ_CHECK(reply.code >= 200 && reply.code <= 599 && reply.lines <= SMTP_REPLY_LINES_MAX);
        seen->codes[seen->count++] = reply.code;
        smtp_reply_clear(&reply);
    }
}

static void reason_check(struct span text)
{
    char told[200];
    size_t run = 0;
    smtp_reason(told, sizeof told, text);
    FUZZ_CHECK(strlen(told) < sizeof told);
    for (const char *c = told; *c; c++) {
        FUZZ_CHECK(*c >= ' ' && *c <= '~');
        bool of_run =
            (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        run = of_run ? run + 1 : 0;
        FUZZ_CHECK(run <= 20);
    }
}

/* A server: takes lines until a lone dot. */
struct server {
    char line[2000];
    size_t length, at; /* of the line; of the message */
    struct span message;
    bool ended;
};

static void server_take(struct server *server, struct span bytes)
{
    for (size_t i = 0; i < bytes.length; i++) {
        FUZZ_CHECK(!server->ended && server->length < sizeof server->line);
        server->line[server->length++] = bytes.data[i];
        if (bytes.data[i] != '\n') continue;
        struct span line = span_of(server->line, server->length);
        server->length = 0;
        FUZZ_CHECK(line.length >= 2 && line.data[line.length - 2] == '\r' && line.length <= 1001);
        server->ended = span_is(line, ".\r\n");
        if (server->ended) continue;
        size_t dot = line.data[0] == '.';
        for (size_t j = dot; j < line.length; j++, server->at++)
            if (server->at < server->message.length)
                FUZZ_CHECK(server->message.data[server->at] == line.data[j]);
    }
}

static void message_check(struct span message, struct cutter cutter)
{
    bool has_8bit;
    if (smtp_message_wrong(message, &has_8bit)) return;
    struct smtp_body body = {.message = message};
    struct server server = {.message = message};
    char piece[PIECE_MAX];
    for (;;) {
        size_t size = 16 + cutter_next(&cutter, sizeof piece - 16);
        size_t length = smtp_body_next(&body, piece, size);
        FUZZ_CHECK(length <= size);
        if (!length) break;
        server_take(&server, span_of(piece, length));
    }
    bool closed = message.data[message.length - 1] == '\n';
    FUZZ_CHECK(body.ended && server.ended && server.at == message.length + (closed ? 0 : 2));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    struct span bytes = span_of(data + 1, size - 1);
    struct seen whole = {0}, cut = {0};
    replies_read(bytes, cutter_of(0), &whole);
    replies_read(bytes, cutter_of(data[0]), &cut);
    FUZZ_CHECK(whole.count == cut.count && whole.wrong == cut.wrong &&
               memcmp(whole.codes, cut.codes, sizeof whole.codes) == 0);
    reason_check(bytes);
    message_check(bytes, cutter_of(data[0]));
    return 0;
}
