/* The mail transport by itself, told what to do by lines on standard input; what comes of it goes
 * to standard output as one JSON object a line.
 *
 *   mail_driver SECTION.KEY=VALUE …      settings, of [mail]
 *
 *   send ID FROM TO FILE     FROM - is the null sender      {"id":…,"result":…,"code":…,"reason":…}
 *                            refused at once:               {"id":…,"error":…,"reason":…}
 *   flood COUNT FROM TO FILE as many, as fast as it goes    {"flood":COUNT,"accepted":…,"other":…}
 *   ping                     is the loop alive?             {"pong":true,"room":…}
 *   stop DRAIN_MS            ends it; also at end of input  {"stopped":true}
 *
 * Exit status 0 when nothing is left on the loop; 3 otherwise. A done inside of submit, or a second
 * one, aborts. */
#include "base/json.h"
#include "conf/settings.h"
#include "io/curl_loop.h"
#include "io/loop.h"
#include "service/mail_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

enum { LINE_SIZE = 4096, WORDS_MAX = 5 };

struct driver {
    struct uv_loop_s *loop;
    struct curl_loop *curl;
    struct mail_transport *transport;
    uv_pipe_t input;
    char line[LINE_SIZE];
    size_t length;
    bool submitting, stopping;
    /* a flood: */
    struct mail_delivery mail;
    unsigned long wanted, submitted, accepted, other;
};

static struct driver driver;

struct one {
    struct mail_delivery mail;
    char id[64], from[300], to[300];
    char *bytes;
    bool ended;
};

static void show(const struct buf *out)
{
    printf("%.*s\n", (int)out->length, out->data);
    fflush(stdout);
}

static struct span file_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t size = 0, got;
    char *bytes = NULL;
    if (!file) {
        perror(path);
        _exit(2);
    }
    do {
        bytes = realloc(bytes, size + 65536);
        if (!bytes) _exit(2);
        got = fread(bytes + size, 1, 65536, file);
        size += got;
    } while (got);
    fclose(file);
    return span_of(bytes, size);
}

/* ---- one ---- */

static void one_show(struct one *one, enum err error)
{
    struct buf out = {0};
    json_open(&out, NULL, '{');
    json_put_string(&out, "id", one->id);
    if (error == ERR_OK) {
        json_put_string(&out, "result", mail_result_name(one->mail.result));
        json_put_i64(&out, "code", one->mail.code);
    } else {
        json_put_string(&out, "error", err_name(error));
    }
    json_put_string(&out, "reason", one->mail.reason);
    json_close(&out, '}');
    show(&out);
    buf_done(&out);
    free(one->bytes);
    free(one);
}

static void one_done(struct mail_delivery *mail)
{
    struct one *one = mail->context;
    if (driver.submitting || one->ended) abort();
    one->ended = true;
    one_show(one, ERR_OK);
}

static void do_send(char **words)
{
    struct one *one = calloc(1, sizeof *one);
    if (!one) _exit(2);
    snprintf(one->id, sizeof one->id, "%s", words[1]);
    snprintf(one->from, sizeof one->from, "%s", strcmp(words[2], "-") == 0 ? "" : words[2]);
    snprintf(one->to, sizeof one->to, "%s", words[3]);
    struct span bytes = file_read(words[4]);
    one->bytes = (char *)bytes.data;
    one->mail = (struct mail_delivery){
        .from = one->from, .to = one->to, .message = bytes, .done = one_done, .context = one};
    driver.submitting = true;
    enum err error = mail_submit(driver.transport, &one->mail);
    driver.submitting = false;
    if (error != ERR_OK) one_show(one, error);
}

/* ---- many ---- */

static void flood_more(void);

static void flood_done(struct mail_delivery *mail)
{
    if (driver.submitting) abort();
    if (mail->result == MAIL_ACCEPTED)
        driver.accepted++;
    else if (driver.other++ < 10)
        fprintf(stderr, "%s: %s\n", mail_result_name(mail->result), mail->reason);
    free(mail);
    if (driver.accepted + driver.other < driver.wanted) {
        flood_more();
        return;
    }
    printf("{\"flood\":%lu,\"accepted\":%lu,\"other\":%lu}\n", driver.wanted, driver.accepted,
           driver.other);
    fflush(stdout);
}

static void flood_more(void)
{
    while (driver.submitted < driver.wanted && mail_transport_room(driver.transport) > 0) {
        struct mail_delivery *mail = malloc(sizeof *mail);
        if (!mail) _exit(2);
        *mail = driver.mail;
        driver.submitting = true;
        enum err error = mail_submit(driver.transport, mail);
        driver.submitting = false;
        if (error != ERR_OK) {
            fprintf(stderr, "flood: %s\n", err_name(error));
            _exit(2);
        }
        driver.submitted++;
    }
}

static void do_flood(char **words)
{
    driver.wanted = strtoul(words[1], NULL, 10);
    driver.submitted = driver.accepted = driver.other = 0;
    driver.mail = (struct mail_delivery){.from = strdup(words[2]),
                                         .to = strdup(words[3]),
                                         .message = file_read(words[4]),
                                         .done = flood_done};
    flood_more();
}

/* ---- the rest ---- */

static void on_curl_closed(void *context)
{
    (void)context;
    puts("{\"stopped\":true}");
    fflush(stdout);
}

static void on_transport_closed(void *context)
{
    (void)context;
    curl_loop_stop(driver.curl, on_curl_closed, NULL);
}

static void do_stop(unsigned drain_ms)
{
    if (driver.stopping) return;
    driver.stopping = true;
    uv_close((uv_handle_t *)&driver.input, NULL);
    mail_transport_stop(driver.transport, drain_ms, on_transport_closed, NULL);
}

static void on_command(char *line)
{
    char *words[WORDS_MAX] = {0}, *left = NULL;
    size_t count = 0;
    for (char *word = strtok_r(line, " ", &left); word && count < WORDS_MAX;
         word = strtok_r(NULL, " ", &left))
        words[count++] = word;
    if (count == 5 && strcmp(words[0], "send") == 0) {
        do_send(words);
    } else if (count == 5 && strcmp(words[0], "flood") == 0) {
        do_flood(words);
    } else if (count == 1 && strcmp(words[0], "ping") == 0) {
        printf("{\"pong\":true,\"room\":%u}\n", mail_transport_room(driver.transport));
        fflush(stdout);
    } else if (count == 2 && strcmp(words[0], "stop") == 0) {
        do_stop((unsigned)strtoul(words[1], NULL, 10));
    } else {
        fprintf(stderr, "what is %s?\n", count ? words[0] : "an empty line");
        _exit(2);
    }
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *buf)
{
    (void)handle, (void)wanted;
    *buf = uv_buf_init(driver.line + driver.length, (unsigned)(LINE_SIZE - driver.length));
}

static void on_input(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    (void)stream, (void)buf;
    if (got < 0) {
        do_stop(0);
        return;
    }
    driver.length += (size_t)got;
    for (char *end; !driver.stopping && (end = memchr(driver.line, '\n', driver.length));) {
        size_t used = (size_t)(end - driver.line) + 1;
        char line[LINE_SIZE];
        memcpy(line, driver.line, used);
        line[used - 1] = '\0';
        memmove(driver.line, driver.line + used, driver.length - used);
        driver.length -= used;
        on_command(line);
    }
}

int main(int argc, char **argv)
{
    struct settings settings;
    char error[SETTINGS_ERROR_SIZE];
    char wrong[MAIL_ERROR_SIZE];
    if (settings_load(&settings, "/dev/null", (const char *const *)argv + 1, (size_t)argc - 1,
                      error)) {
        fprintf(stderr, "mail_driver: %s\n", error);
        _exit(2);
    }
    struct mail_transport_config config = mail_config_of(&settings);
    if (loop_new(&driver.loop) || curl_loop_new(&driver.curl, driver.loop) ||
        mail_transport_new(&driver.transport, driver.loop, driver.curl, &config, wrong)) {
        fprintf(stderr, "mail_driver: %s\n", wrong);
        _exit(2);
    }
    uv_pipe_init(driver.loop, &driver.input, 0);
    uv_pipe_open(&driver.input, 0);
    uv_read_start((uv_stream_t *)&driver.input, on_room, on_input);
    loop_run(driver.loop);
    free((void *)driver.mail.message.data);
    free((void *)driver.mail.from);
    free((void *)driver.mail.to);
    settings_done(&settings);
    return loop_free(&driver.loop) == ERR_OK ? 0 : 3;
}
