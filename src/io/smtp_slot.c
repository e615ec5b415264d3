/* One connection to the relay: the dialogue of RFC 5321 from MAIL to the answer to the message, one
 * mail after the other. Called by smtp.c and by the link's events, on the loop thread. What always
 * holds: a delivery ends once; the server has read nothing of a mail before TLS and the login
 * stood; TEMPORARY and PERMANENT are only said while the end of the message was not handed over, or
 * by the server's own answer to it. */
#include "io/smtp_private.h"

#include "base/codec.h"
#include "base/secret_file.h"

#include <stdio.h>

enum {
    MAILS_MAX = 100,        /* over one connection: many relays end it there by themselves */
    IDLE_MS = 30000,        /* a connection without a mail is kept for so long */
    CONNECT_SLACK_MS = 500, /* libcurl's own deadline comes first, and tells more */
    READ_SIZE = 4096,
};

static void slot_close(struct smtp_slot *slot)
{
    curl_link_close(&slot->link);
    loop_timer_stop(slot->timer);
    slot->state = SMTP_FREE;
    smtp_kick(slot->smtp);
}

/* Says goodbye as far as the socket takes it; the answer is not waited for. */
static void slot_quit(struct smtp_slot *slot)
{
    static const char quit[] = "QUIT\r\n";
    size_t sent;
    enum err ignored = curl_link_write(slot->link, quit, sizeof quit - 1, &sent);
    (void)ignored;
    slot_close(slot);
}

/* done comes last, because it may submit or stop. */
static void delivery_end(struct smtp_slot *slot, enum mail_result result, unsigned code,
                         struct span reason)
{
    struct mail_delivery *delivery = slot->delivery;
    slot->delivery = NULL;
    mail_delivery_end(delivery, result, code, reason);
}

/* A kept connection may have died, or be ended by the server, at any time: the first command of a
 * mail finds out, and nothing of the mail was read yet. */
static bool is_stale(const struct smtp_slot *slot, unsigned code)
{
    return slot->state == SMTP_MAIL && (code == 0 || code == 421) && !slot->delivery->again &&
           !slot->smtp->transport.stopping;
}

void slot_lose(struct smtp_slot *slot, unsigned code, struct span reason)
{
    enum smtp_state state = slot->state;
    if (state == SMTP_CONNECTING) {
        slot_close(slot);
        smtp_connect_failed(slot->smtp, code, reason);
        return;
    }
    bool stale = slot->delivery && is_stale(slot, code);
    slot_close(slot);
    if (!slot->delivery) return;
    if (stale) {
        slot->delivery->again = true;
        mail_waiting_prepend(&slot->smtp->transport, slot->delivery);
        slot->delivery = NULL;
        return;
    }
    delivery_end(slot, slot->end_handed ? MAIL_UNKNOWN : MAIL_TEMPORARY, code, reason);
}

/* ---- deadlines ---- */

static const char *const waited_for[] = {
    [SMTP_FREE] = "",
    [SMTP_CONNECTING] = "no connection in time",
    [SMTP_READY] = "",
    [SMTP_MAIL] = "no answer to MAIL in time",
    [SMTP_RCPT] = "no answer to RCPT in time",
    [SMTP_DATA] = "no answer to DATA in time",
    [SMTP_BODY] = "the relay did not take the message in time",
    [SMTP_ANSWER] = "no answer to the message in time",
    [SMTP_RSET] = "",
};

static void on_deadline(void *context)
{
    struct smtp_slot *slot = context;
    if (slot->state == SMTP_READY)
        slot_quit(slot);
    else
        slot_lose(slot, 0, span_text(waited_for[slot->state]));
}

/* The answer to the whole message may take as long as the mail as a whole. */
static void deadline_set(struct smtp_slot *slot)
{
    struct smtp *smtp = slot->smtp;
    uint64_t now = loop_now_ms(smtp->loop);
    uint64_t left = slot->deadline_ms > now ? slot->deadline_ms - now : 0;
    uint64_t step = smtp->transport.config.answer_timeout_ms;
    loop_timer_start(slot->timer, slot->state == SMTP_ANSWER || left < step ? left : step, 0);
}

/* ---- writing ---- */

static void slot_flush(struct smtp_slot *slot)
{
    size_t sent = 0;
    if (slot->state == SMTP_BODY && slot->body.ended) slot->end_handed = true;
    enum err error = curl_link_write(slot->link, slot->out + slot->out_at,
                                     slot->out_length - slot->out_at, &sent);
    slot->out_at += sent;
    if (error != ERR_OK)
        slot_lose(slot, 0, SPAN("the connection broke"));
    else if (sent && slot->state == SMTP_BODY)
        deadline_set(slot);
}

static void slot_command(struct smtp_slot *slot, enum smtp_state state, size_t length)
{
    slot->state = state;
    slot->out_length = length;
    slot->out_at = 0;
    if (state == SMTP_MAIL || state == SMTP_RCPT || state == SMTP_DATA || state == SMTP_RSET)
        deadline_set(slot);
    slot_flush(slot);
}

static bool slot_writes(const struct smtp_slot *slot)
{
    return slot->out_at < slot->out_length;
}

static void slot_read(struct smtp_slot *slot);

/* The message, as much of it as the socket takes. What has arrived is read before its end goes out,
 * so that an answer that came early is never taken for the answer to it. */
static void slot_body(struct smtp_slot *slot)
{
    while (slot->state == SMTP_BODY && !slot_writes(slot)) {
        if (slot->body.ended) {
            slot->state = SMTP_ANSWER;
            deadline_set(slot);
            return;
        }
        slot->out_length = smtp_body_next(&slot->body, slot->out, sizeof slot->out);
        slot->out_at = 0;
        if (slot->body.ended) slot_read(slot);
        if (slot->state == SMTP_BODY) slot_flush(slot);
    }
}

void slot_take(struct smtp_slot *slot, struct mail_delivery *delivery)
{
    const struct smtp_offers *offers = &slot->offers;
    slot->delivery = delivery;
    slot->end_handed = false;
    if (delivery->has_8bit && !offers->eight_bit) {
        delivery_end(slot, MAIL_PERMANENT, 0,
                     SPAN("the relay takes no 8-bit messages, and this is one"));
        return;
    }
    if (offers->size_limit && delivery->message.length > offers->size_limit) {
        delivery_end(slot, MAIL_PERMANENT, 0, SPAN("the relay takes no message as large"));
        return;
    }
    slot->sent++;
    slot->body = (struct smtp_body){.message = delivery->message};
    slot->deadline_ms = loop_now_ms(slot->smtp->loop) + slot->smtp->transport.config.timeout_ms;
    int length = snprintf(slot->out, sizeof slot->out, "MAIL FROM:<%s>", delivery->from);
    if (offers->size)
        length += snprintf(slot->out + length, 40, " SIZE=%zu", delivery->message.length);
    length +=
        snprintf(slot->out + length, 40, "%s\r\n", delivery->has_8bit ? " BODY=8BITMIME" : "");
    slot_command(slot, SMTP_MAIL, (size_t)length);
}

/* ---- replies ---- */

/* The connection is as new; at some time it is old enough. */
static void slot_ready(struct smtp_slot *slot)
{
    slot->state = SMTP_READY;
    if (slot->sent >= MAILS_MAX || slot->smtp->transport.stopping) {
        slot_quit(slot);
        return;
    }
    loop_timer_start(slot->timer, IDLE_MS, 0);
    smtp_kick(slot->smtp);
}

/* Codes about this client, not about the mail (RFC 4954, RFC 3207): mend the settings, send again.
 */
static bool is_about_login(unsigned code)
{
    return code == 530 || code == 534 || code == 535 || code == 538;
}

static enum mail_result result_of(unsigned code)
{
    return code >= 500 && !is_about_login(code) ? MAIL_PERMANENT : MAIL_TEMPORARY;
}

/* The server does not take this mail, and waits for the next. */
static void slot_refused(struct smtp_slot *slot, unsigned code, struct span line)
{
    enum smtp_state state = slot->state;
    struct mail_delivery *delivery = slot->delivery;
    if (code < 400 || code == 421 || state == SMTP_BODY) {
        slot_lose(slot, code < 400 ? 0 : code,
                  code < 400 ? SPAN("the relay's answer does not fit the command") : line);
        return;
    }
    slot->delivery = NULL;
    if (state == SMTP_ANSWER)
        slot_ready(slot);
    else
        slot_command(slot, SMTP_RSET, (size_t)snprintf(slot->out, sizeof slot->out, "RSET\r\n"));
    mail_delivery_end(delivery, result_of(code), code, line);
}

static void slot_answered(struct smtp_slot *slot, unsigned code, struct span line)
{
    struct mail_delivery *delivery = slot->delivery;
    if (code >= 300) {
        if (code == 421) slot->end_handed = false; /* an answer: not accepted */
        slot_refused(slot, code, line);
        return;
    }
    slot->delivery = NULL;
    slot_ready(slot);
    mail_delivery_end(delivery, MAIL_ACCEPTED, code, SPAN(""));
}

static void slot_reply(struct smtp_slot *slot, unsigned code, struct span line)
{
    bool good = code >= 200 && code < 300;
    switch (slot->state) {
    case SMTP_MAIL:
        if (!good) break;
        slot_command(
            slot, SMTP_RCPT,
            (size_t)snprintf(slot->out, sizeof slot->out, "RCPT TO:<%s>\r\n", slot->delivery->to));
        return;
    case SMTP_RCPT:
        if (!good) break;
        slot_command(slot, SMTP_DATA, (size_t)snprintf(slot->out, sizeof slot->out, "DATA\r\n"));
        return;
    case SMTP_DATA:
        if (code != 354) break;
        slot->state = SMTP_BODY; /* goes out once there is nothing more to read */
        deadline_set(slot);
        return;
    case SMTP_BODY:
        break;
    case SMTP_ANSWER:
        slot_answered(slot, code, line);
        return;
    case SMTP_RSET:
        if (good)
            slot_ready(slot);
        else
            slot_close(slot);
        return;
    case SMTP_READY: /* 421, or out of step */
    case SMTP_FREE:
    case SMTP_CONNECTING:
        slot_close(slot);
        return;
    }
    slot_refused(slot, code, line);
}

static void slot_read_bytes(struct smtp_slot *slot, struct span bytes)
{
    while (bytes.length && slot->link) {
        size_t used;
        enum smtp_reading reading = smtp_reply_read(&slot->reply, bytes, &used);
        bytes = span_of(bytes.data + used, bytes.length - used);
        if (reading == SMTP_READING_MORE) return;
        if (reading == SMTP_READING_WRONG) {
            slot_lose(slot, 0, SPAN("the relay's answer is not SMTP"));
            return;
        }
        struct smtp_reply *reply = &slot->reply;
        struct span line = span_of(reply->line, reply->length);
        unsigned code = reply->code;
        smtp_reply_clear(reply);
        slot_reply(slot, code, line);
    }
}

static void slot_read(struct smtp_slot *slot)
{
    char bytes[READ_SIZE];
    while (slot->link) {
        size_t got = 0;
        enum err error = curl_link_read(slot->link, bytes, sizeof bytes, &got);
        if (error != ERR_OK) {
            slot_lose(slot, 0,
                      error == ERR_CLOSED ? SPAN("the relay closed the connection")
                                          : SPAN("the connection broke"));
            return;
        }
        if (got == 0) return;
        slot_read_bytes(slot, span_of(bytes, got));
    }
}

/* ---- the link ---- */

/* "250-SIZE 1000\r\n": the first line of an answer to EHLO is the server's name. An answer 220
 * comes before each EHLO (the greeting, STARTTLS): what was offered in clear text is forgotten. */
static void on_line(void *context, struct span line)
{
    struct smtp_slot *slot = context;
    struct smtp_offers *offers = &slot->offers;
    while (line.length &&
           (line.data[line.length - 1] == '\n' || line.data[line.length - 1] == '\r'))
        line.length--;
    slot->reply.length =
        line.length < sizeof slot->reply.line ? line.length : sizeof slot->reply.line;
    if (slot->reply.length) memcpy(slot->reply.line, line.data, slot->reply.length);
    if (span_starts(line, "220")) *offers = (struct smtp_offers){0};
    if (span_starts(line, "235")) offers->logged_in = true;
    if (!span_starts(line, "250") || line.length < 5 || offers->lines++ == 0) return;
    struct span word = span_of(line.data + 4, line.length - 4);
    const char *space = memchr(word.data, ' ', word.length);
    struct span rest = {0};
    if (space) {
        rest = span_of(space + 1, word.length - (size_t)(space + 1 - word.data));
        word.length = (size_t)(space - word.data);
    }
    if (span_is_nocase(word, "8BITMIME")) offers->eight_bit = true;
    if (!span_is_nocase(word, "SIZE")) return;
    uint64_t limit = 0;
    offers->size = true;
    if (rest.length && u64_parse(rest, INT64_MAX, &limit)) offers->size_limit = limit;
}

static void slot_up(struct smtp_slot *slot)
{
    smtp_reply_clear(&slot->reply);
    if (slot->smtp->transport.config.username && !slot->offers.logged_in) {
        slot_lose(slot, 0, SPAN("the relay offers no login, and mail.username is set"));
        return;
    }
    slot_ready(slot);
    /* The first read ties the connection to the link, so that libcurl keeps its hands off it. */
    if (slot->link) slot_read(slot);
}

/* The server's own words tell more than libcurl's; but not at the login: some repeat what they got.
 */
static void slot_failed(struct smtp_slot *slot)
{
    const struct smtp_reply *reply = &slot->reply;
    struct span line = span_of(reply->line, reply->length);
    uint64_t code = 0;
    bool said = line.length >= 3 && u64_parse(span_of(line.data, 3), 599, &code) && code >= 400;
    char error[MAIL_REASON_SIZE]; /* the link goes before its words are told */
    snprintf(error, sizeof error, "%s", curl_link_error(slot->link));
    if (curl_link_login_failed(slot->link))
        line = SPAN("the relay refused the login");
    else if (!said)
        line = span_text(error);
    slot_lose(slot, said ? (unsigned)code : 0, line);
}

static void on_event(void *context, enum curl_link_event event)
{
    struct smtp_slot *slot = context;
    switch (event) {
    case CURL_LINK_UP:
        slot_up(slot);
        return;
    case CURL_LINK_FAILED:
        slot_failed(slot);
        return;
    case CURL_LINK_GONE:
        slot_lose(slot, 0, SPAN("the daemon stops"));
        return;
    case CURL_LINK_READY:
        slot_read(slot);
        if (slot->link && slot_writes(slot)) slot_flush(slot);
        if (slot->link) slot_body(slot);
        return;
    }
}

static enum err slot_open(struct smtp_slot *slot, const char *password)
{
    static const char *const mechanisms[] = {
        [MAIL_AUTH_PLAIN] = "PLAIN", [MAIL_AUTH_LOGIN] = "LOGIN", [MAIL_AUTH_XOAUTH2] = "XOAUTH2"};
    const struct mail_transport_config *config = &slot->smtp->transport.config;
    struct curl_link_config link = {
        .url = config->url,
        .ca_file = config->ca_file,
        .username = config->username,
        .password = password,
        .mechanism = mechanisms[config->auth],
        .connect_timeout_ms = config->connect_timeout_ms,
        .line = on_line,
        .event = on_event,
        .context = slot,
    };
    return curl_link_open(&slot->link, slot->smtp->curl, &link);
}

/* The credential is read anew each time: a token that is renewed counts at once. */
void slot_connect(struct smtp_slot *slot)
{
    const struct mail_transport_config *config = &slot->smtp->transport.config;
    char wrong[SECRET_FILE_ERROR_SIZE] = "no memory for a connection";
    struct secret *password = NULL;
    enum err error = ERR_OK;
    slot->state = SMTP_CONNECTING;
    slot->sent = 0;
    slot->offers = (struct smtp_offers){0};
    slot->out_length = slot->out_at = 0;
    smtp_reply_clear(&slot->reply);
    if (config->username) error = secret_file_read(&password, config->password_file, wrong);
    if (error == ERR_OK) error = slot_open(slot, password ? password->text : NULL);
    secret_free(&password);
    if (error != ERR_OK) {
        slot_lose(slot, 0, span_text(wrong));
        return;
    }
    loop_timer_start(slot->timer, config->connect_timeout_ms + CONNECT_SLACK_MS, 0);
}

void slot_wind_up(struct smtp_slot *slot)
{
    switch (slot->state) {
    case SMTP_FREE:
    case SMTP_ANSWER:
        return;
    case SMTP_READY:
        slot_quit(slot);
        return;
    case SMTP_CONNECTING:
    case SMTP_RSET:
        slot_close(slot);
        return;
    case SMTP_MAIL:
    case SMTP_RCPT:
    case SMTP_DATA:
    case SMTP_BODY:
        slot_lose(slot, 0, SPAN("the daemon stops"));
        return;
    }
}

enum err slot_init(struct smtp_slot *slot, struct smtp *smtp)
{
    slot->smtp = smtp;
    return loop_timer_new(&slot->timer, smtp->loop, on_deadline, slot);
}
