/* libuv and llhttp with nothing around them: one fixed answer for each message llhttp completes.
 * What the benchmark measures Keymeter against (`bare_responder 127.0.0.1 8080`). No limits, no
 * deadlines, no queue: never to be exposed. */
#include <llhttp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

struct client {
    uv_tcp_t tcp;
    llhttp_t parser;
    unsigned complete;
};

static llhttp_settings_t settings;
static char read_buffer[65536];

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static int on_message_complete(llhttp_t *parser)
{
    struct client *client = parser->data;
    client->complete++;
    return 0;
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)handle;
    (void)suggested;
    *out = uv_buf_init(read_buffer, sizeof read_buffer);
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *bytes)
{
    struct client *client = stream->data;
    if (length == 0) return;
    bool bad = length < 0 || llhttp_execute(&client->parser, bytes->base, (size_t)length) != HPE_OK;
    for (; !bad && client->complete > 0; client->complete--) {
        uv_buf_t out = uv_buf_init((char *)answer, sizeof answer - 1);
        bad = uv_try_write(stream, &out, 1) != (int)out.len;
    }
    if (bad) uv_close((uv_handle_t *)stream, on_closed);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct client *client = status == 0 ? calloc(1, sizeof *client) : NULL;
    if (!client) return;
    uv_tcp_init(listener->loop, &client->tcp);
    client->tcp.data = client;
    llhttp_init(&client->parser, HTTP_REQUEST, &settings);
    client->parser.data = client;
    if (uv_accept(listener, (uv_stream_t *)&client->tcp) < 0 ||
        uv_tcp_nodelay(&client->tcp, 1) < 0 ||
        uv_read_start((uv_stream_t *)&client->tcp, on_allocate, on_read) < 0)
        uv_close((uv_handle_t *)&client->tcp, on_closed);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: bare_responder ADDRESS PORT\n");
        return 1;
    }
    uv_tcp_t listener;
    struct sockaddr_in address;
    settings.on_message_complete = on_message_complete;
    uv_tcp_init(uv_default_loop(), &listener);
    if (uv_ip4_addr(argv[1], (int)strtol(argv[2], NULL, 10), &address) < 0 ||
        uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0) < 0 ||
        uv_listen((uv_stream_t *)&listener, 1024, on_connection) < 0) {
        fprintf(stderr, "bare_responder: cannot listen on %s:%s\n", argv[1], argv[2]);
        return 1;
    }
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
