/* Keymeter's HTTP server with a handler that does nothing: what the server alone can do. Started by
 * tests/bench/run and by hand (`plain_server 127.0.0.1:8080`); ends on SIGTERM. */
#include "io/http_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

static struct http_server *server;

static struct verdict handle(struct http_request *request)
{
    struct http_response response = {.status = 200, .headers = SPAN("X-Key-Id: key_1\r\n")};
    if (request->body.length) response.body = request->body;
    return http_reply(request, &response);
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    uv_close((uv_handle_t *)signal, NULL);
    http_server_stop(server, 1000, NULL, NULL);
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    uv_signal_t terminate;
    char bound[128];
    const char *why = "";
    struct http_listen_config config = {.address = argc > 1 ? argv[1] : "127.0.0.1:8080",
                                        .handler = handle};
    if (http_server_new(&server, loop) != ERR_OK) return 1;
    if (http_listen(server, &config, bound, &why) != ERR_OK) {
        fprintf(stderr, "plain_server: %s\n", why);
        return 1;
    }
    uv_signal_init(loop, &terminate);
    uv_signal_start(&terminate, on_signal, SIGTERM);
    printf("%s\n", bound);
    fflush(stdout);
    uv_run(loop, UV_RUN_DEFAULT);
    return uv_loop_close(loop) == 0 ? 0 : 1;
}
