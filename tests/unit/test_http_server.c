/* io/http: a real server on a loop of its own in a thread, driven over sockets. What is waited for
 * is always an answer or the end of the connection; the client's receive timeout is only there so
 * that a failure ends. */
#include "http_fixture.h"
#include "http_vectors.h"

/* ---- what is refused ---- */

static void refuses_what_two_parsers_might_read_in_two_ways(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    server_start(&fixture);
    for (size_t i = 0; i < COUNT_OF(smuggling); i++) {
        char *answer = exchange(&fixture, smuggling[i].data, smuggling[i].length);
        if (strncmp(answer, "HTTP/1.1 400 ", 13) != 0 || count_of(answer, "HTTP/1.1 ") != 1 ||
            !strstr(answer, "Connection: close\r\n") || !strstr(answer, "{\"status\":400"))
            fail_msg("vector %zu (%s) got %s", i, smuggling[i].data, answer);
        free(answer);
    }
    server_end(&fixture);
}

static void answers_what_came_before_a_bad_request(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    server_start(&fixture);
    static const char both[] = "GET /info HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\n"
                               "GET /info HTTP/1.1\r\nHost: x\r\n\r\n";
    char *answer = exchange(&fixture, both, sizeof both - 1);
    assert_int_equal(strncmp(answer, "HTTP/1.1 200 ", 13), 0);
    assert_int_equal(count_of(answer, "HTTP/1.1 "), 2);
    assert_non_null(strstr(answer, "HTTP/1.1 400 "));
    free(answer);
    server_end(&fixture);
}

static void expect_status(const struct fixture *fixture, const char *data, const char *start)
{
    char *answer = exchange(fixture, data, strlen(data));
    if (strncmp(answer, start, strlen(start)) != 0)
        fail_msg("wanted %s, got %.200s", start, answer);
    free(answer);
}

static char *text_of(size_t size, const char *head, char fill, const char *tail)
{
    char *text = malloc(strlen(head) + size + strlen(tail) + 1);
    char *at = stpcpy(text, head);
    memset(at, fill, size);
    strcpy(at + size, tail);
    return text;
}

static void refuses_what_is_too_large(void **state)
{
    (void)state;
    struct fixture fixture = {.config.limits = {.body_bytes = 1000}};
    server_start(&fixture);
    char *text = text_of(16384, "GET /", 'a', R11 CLOSE);
    expect_status(&fixture, text, "HTTP/1.1 431 ");
    free(text);
    text = text_of(16000, "GET /", 'a', R11 CLOSE);
    expect_status(&fixture, text, "HTTP/1.1 200 ");
    free(text);
    struct buf head = {0};
    buf_add_text(&head, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 62; i++)
        buf_printf(&head, "H%d: v\r\n", i);
    size_t length = head.length;
    buf_printf(&head, CLOSE);
    expect_status(&fixture, head.data, "HTTP/1.1 200 ");
    head.length = length;
    buf_printf(&head, "One: more\r\n" CLOSE);
    expect_status(&fixture, head.data, "HTTP/1.1 431 ");
    buf_done(&head);
    expect_status(&fixture, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n",
                  "HTTP/1.1 413 ");
    expect_status(&fixture, TE "3E9\r\n", "HTTP/1.1 413 ");
    text = text_of(1000, TE "3E8\r\n", 'b', "\r\n0\r\n\r\nGET / HTTP/1.1\r\n" CLOSE);
    expect_status(&fixture, text, "HTTP/1.1 200 ");
    free(text);
    text = text_of(200000, TE "5;", 'x', "\r\nhello\r\n0\r\n\r\n");
    expect_status(&fixture, text, "HTTP/1.1 413 ");
    free(text);
    server_end(&fixture);
}

/* ---- what is served ---- */

static void serves_the_same_however_the_bytes_are_cut(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    server_start(&fixture);
    static const char data[] =
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2;e\r\nde\r\n0\r\nT: v\r\n\r\n"
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nfgh"
        "POST /echo HTTP/1.1\r\nhOST: x\r\nTRANSFER-ENCODING: chunked\r\n\r\n"
        "4\r\nijkl\r\n0\r\n\r\n";
    size_t length = sizeof data - 1;
    int fd = dial(&fixture);
    struct buf in = {0};
    for (size_t cut = 0; cut <= length; cut++) {
        give(fd, data, cut);
        give(fd, data + cut, length - cut);
        expect_one(fd, &in, "HTTP/1.1 200 ", "\r\n\r\nabcde");
        expect_one(fd, &in, "HTTP/1.1 200 ", "\r\n\r\nfgh");
        expect_one(fd, &in, "HTTP/1.1 200 ", "\r\n\r\nijkl");
    }
    for (size_t i = 0; i < length; i++)
        give(fd, data + i, 1);
    expect_one(fd, &in, "HTTP/1.1 200 ", "\r\n\r\nabcde");
    expect_one(fd, &in, "HTTP/1.1 200 ", "\r\n\r\nfgh");
    expect_one(fd, &in, "HTTP/1.1 200 ", "\r\n\r\nijkl");
    buf_done(&in);
    close(fd);
    server_end(&fixture);
}

static void answers_in_the_order_of_the_requests(void **state)
{
    (void)state;
    struct fixture fixture = {.config.limits = {.pipelined = 4}};
    server_start(&fixture);
    int fd = dial(&fixture), other = dial(&fixture);
    struct buf in = {0}, other_in = {0};
    /* Five more than may be in flight: these wait unread until the first four are answered. */
    for (int i = 0; i < 9; i++) {
        char text[64];
        give(fd, text, (size_t)snprintf(text, sizeof text, "GET /held?%d" R11 HOST "\r\n", i));
    }
    for (int i = 0; i < 9;) {
        give_text(other, "GET /release" R11 HOST "\r\n");
        expect_one(other, &other_in, "HTTP/1.1 200 ", "released");
        for (; i < 9; i++) {
            char text[16];
            ssize_t n = in.length ? 1 : recv(fd, text, 1, MSG_PEEK | MSG_DONTWAIT);
            if (n <= 0) break;
            snprintf(text, sizeof text, "\r\n\r\n%d", i);
            expect_one(fd, &in, "HTTP/1.1 200 ", text);
        }
    }
    buf_done(&in);
    buf_done(&other_in);
    close(fd);
    close(other);
    server_end(&fixture);
}

static void pipelined_answers_finished_backwards_leave_in_order(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    server_start(&fixture);
    static const char data[] = "GET /held?1" R11 HOST "\r\nGET /held?2" R11 HOST
                               "\r\nGET /held?3" R11 HOST "\r\nGET /release HTTP/1.1\r\n" CLOSE;
    char *answer = exchange(&fixture, data, sizeof data - 1);
    const char *one = strstr(answer, "\r\n\r\n1"), *two = strstr(answer, "\r\n\r\n2");
    const char *three = strstr(answer, "\r\n\r\n3"), *last = strstr(answer, "released");
    assert_true(one && two && three && last && one < two && two < three && three < last);
    free(answer);
    server_end(&fixture);
}

static void understands_requests(void **state)
{
    (void)state;
    static const struct {
        const char *request, *start, *end;
    } cases[] = {
        {"GET /info?a=b" R11 CLOSE, "HTTP/1.1 200 OK\r\n", "GET|a=b||2"},
        {"\r\nGET /info" R11 "X-Test:  a \t \r\nEmpty:\r\n" CLOSE, "HTTP/1.1 200 ", "GET||a|4"},
        {"GET /info" R11 "Upgrade: h2c\r\nX-Test: \xC3\xA4\r\n" CLOSE, "HTTP/1.1 200 ",
         "GET||\xC3\xA4|4"},
        {"GET http://x/info?q" R11 CLOSE, "HTTP/1.1 200 ", "GET|q||2"},
        {"PURGE /info HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 ", "PURGE|||2"},
        {"OPTIONS * HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 ", "\r\n\r\n"},
        {"GET /info HTTP/1.0\r\n\r\n", "HTTP/1.1 200 ", "GET|||0"},
        {"HEAD /info HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 ", "Connection: close\r\n\r\n"},
        {"GET /none HTTP/1.1\r\n" CLOSE, "HTTP/1.1 204 No Content\r\n", "\r\n\r\n"},
        {"GET /nothing HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 500 ", "\r\n\r\n"},
        {"GET /close HTTP/1.1\r\n" HOST "\r\nGET /info" R11 HOST "\r\n", "HTTP/1.1 200 ",
         "Connection: close\r\n\r\n"},
    };
    struct fixture fixture = {0};
    server_start(&fixture);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *answer = exchange(&fixture, cases[i].request, strlen(cases[i].request));
        const char *end = cases[i].end;
        size_t length = strlen(answer), tail = strlen(end);
        if (strncmp(answer, cases[i].start, strlen(cases[i].start)) != 0 || length < tail ||
            strcmp(answer + length - tail, end) != 0 || count_of(answer, "HTTP/1.1 ") != 1)
            fail_msg("case %zu got %s", i, answer);
        free(answer);
    }
    server_end(&fixture);
}

static void every_answer_has_its_headers(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    server_start(&fixture);
    int fd = dial(&fixture);
    struct buf in = {0};
    give_text(fd, "GET /info" R11 HOST "X-Request-Id: abc-1_2.Z\r\n\r\n");
    char *answer = take_one(fd, &in);
    assert_non_null(strstr(answer, "\r\nX-Request-Id: abc-1_2.Z\r\n"));
    assert_non_null(strstr(answer, "\r\nCache-Control: no-store\r\n"));
    assert_non_null(strstr(answer, "\r\nDate: "));
    assert_non_null(strstr(answer, " GMT\r\n"));
    assert_null(strstr(answer, "Connection:"));
    free(answer);
    give_text(fd, "GET /info" R11 HOST "X-Request-Id: a b\r\n\r\n");
    answer = take_one(fd, &in);
    assert_non_null(strstr(answer, "\r\nX-Request-Id: req_"));
    free(answer);
    give_text(fd, "GET /info HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    answer = take_one(fd, &in);
    assert_non_null(strstr(answer, "\r\nConnection: keep-alive\r\n"));
    free(answer);
    buf_done(&in);
    close(fd);
    server_end(&fixture);
}

static void encourages_a_client_that_waits_to_send_its_body(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    server_start(&fixture);
    int fd = dial(&fixture);
    struct buf in = {0};
    give_text(fd, "POST /echo" R11 HOST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    expect_one(fd, &in, "HTTP/1.1 100 Continue\r\n\r\n", "");
    give_text(fd, "abc");
    expect_one(fd, &in, "HTTP/1.1 200 ", "\r\n\r\nabc");
    buf_done(&in);
    close(fd);
    expect_status(&fixture,
                  "POST /echo" R11 HOST "Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n",
                  "HTTP/1.1 413 ");
    server_end(&fixture);
}

static void a_slow_reader_gets_all_of_large_answers(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    server_start(&fixture);
    int fd = dial(&fixture);
    give_text(fd, "GET /big" R11 HOST "\r\nGET /big" R11 HOST "\r\nGET /big" R11 HOST
                  "\r\nGET /big HTTP/1.1\r\n" CLOSE);
    size_t total = 0;
    char room[4096];
    ssize_t n;
    while ((n = recv(fd, room, sizeof room, 0)) > 0)
        total += (size_t)n;
    assert_int_equal(n, 0);
    assert_in_range(total, 4 * BIG + 400, 4 * BIG + 4 * 400);
    close(fd);
    server_end(&fixture);
}

static void a_client_that_shuts_its_side_is_answered(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    server_start(&fixture);
    int fd = dial(&fixture);
    give_text(fd, "POST /echo" R11 HOST "Content-Length: 3\r\n\r\nabc");
    shutdown(fd, SHUT_WR);
    char *answer = take_all(fd);
    assert_int_equal(count_of(answer, "\r\n\r\nabc"), 1);
    free(answer);
    server_end(&fixture);
}

/* ---- deadlines and caps ---- */

static void late_heads_and_bodies_get_408_and_idle_connections_are_closed(void **state)
{
    (void)state;
    struct fixture fixture = {
        .config.limits = {.head_timeout_ms = 50, .body_timeout_ms = 50, .idle_timeout_ms = 50}};
    server_start(&fixture);
    expect_status(&fixture, "GET / HTTP/1.1\r\nHo", "HTTP/1.1 408 ");
    expect_status(&fixture, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na",
                  "HTTP/1.1 408 ");
    char *answer = exchange(&fixture, "", 0);
    assert_string_equal(answer, "");
    free(answer);
    answer = exchange(&fixture, "GET /info" R11 HOST "\r\n", strlen("GET /info" R11 HOST "\r\n"));
    assert_int_equal(count_of(answer, "HTTP/1.1 "), 1);
    assert_null(strstr(answer, "Connection: close"));
    free(answer);
    server_end(&fixture);
}

static void more_connections_than_the_cap_get_503(void **state)
{
    (void)state;
    for (int by_address = 0; by_address < 2; by_address++) {
        struct fixture fixture = {.config.limits = {.connections = by_address ? 0 : 2,
                                                    .connections_per_address = by_address ? 2 : 0}};
        server_start(&fixture);
        int first = dial(&fixture), second = dial(&fixture);
        struct buf in = {0};
        give_text(second, "GET /info" R11 HOST "\r\n");
        expect_one(second, &in, "HTTP/1.1 200 ", "GET|||1");
        char *answer = exchange(&fixture, "", 0);
        assert_int_equal(strncmp(answer, "HTTP/1.1 503 ", 13), 0);
        assert_non_null(strstr(answer, "\r\nRetry-After: 1\r\n"));
        free(answer);
        close(first);
        /* Its place is free as soon as the server has seen the end. */
        bool taken = false;
        while (!taken) {
            answer = exchange(&fixture, "GET /info HTTP/1.1\r\n" CLOSE,
                              strlen("GET /info HTTP/1.1\r\n" CLOSE));
            taken = strncmp(answer, "HTTP/1.1 200 ", 13) == 0;
            free(answer);
        }
        buf_done(&in);
        close(second);
        server_end(&fixture);
    }
}

/* ---- ends ---- */

static void a_client_may_go_before_its_answer(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    server_start(&fixture);
    int fd = dial(&fixture), other = dial(&fixture);
    struct buf in = {0};
    struct linger reset = {.l_onoff = 1};
    give_text(fd, "GET /held?x" R11 HOST "\r\nGET /info" R11 HOST "\r\nPOST /held" R11 HOST
                  "Content-Length: 9\r\n\r\nabc");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    for (bool gone = false; !gone;) {
        give_text(other, "GET /open" R11 HOST "\r\n");
        char *answer = take_one(other, &in);
        gone = strcmp(strstr(answer, "\r\n\r\n") + 4, "1") == 0;
        free(answer);
    }
    give_text(other, "GET /release" R11 HOST "\r\n");
    expect_one(other, &in, "HTTP/1.1 200 ", "released");
    buf_done(&in);
    close(other);
    server_end(&fixture);
}

static void stopping_answers_what_is_in_flight_and_closes_the_idle(void **state)
{
    (void)state;
    struct fixture fixture = {.finish_at_stop = true};
    server_start(&fixture);
    int busy = dial(&fixture), idle = dial(&fixture);
    struct buf in = {0};
    give_text(busy, "GET /info" R11 HOST "\r\nGET /held?x" R11 HOST "\r\n");
    expect_one(busy, &in, "HTTP/1.1 200 ", "GET|||1");
    give_text(idle, "GET /info" R11 HOST "\r\n");
    expect_one(idle, &in, "HTTP/1.1 200 ", "GET|||1");
    uv_async_send(&fixture.stop);
    char *answer = take_all(busy);
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\nx"));
    free(answer);
    answer = take_all(idle);
    assert_string_equal(answer, "");
    free(answer);
    buf_done(&in);
    server_join(&fixture);
}

static void the_drain_ends_at_its_deadline_and_requests_may_outlive_the_server(void **state)
{
    (void)state;
    struct fixture fixture = {.drain_ms = 20};
    server_start(&fixture);
    int fd = dial(&fixture);
    struct buf in = {0};
    give_text(fd, "GET /info" R11 HOST "\r\nGET /held" R11 HOST "\r\n");
    expect_one(fd, &in, "HTTP/1.1 200 ", "GET|||1");
    uv_async_send(&fixture.stop);
    char *answer = take_all(fd);
    assert_string_equal(answer, "");
    free(answer);
    buf_done(&in);
    server_join(&fixture);
}

static void wait_for_text(int fd, struct buf *in, const char *path, const char *wanted)
{
    for (bool there = false; !there;) {
        give_text(fd, path);
        char *answer = take_one(fd, in);
        there = strcmp(strstr(answer, "\r\n\r\n") + 4, wanted) == 0;
        free(answer);
    }
}

/* The answer at a deadline goes out in its turn, and what comes of the work later is dropped. */
static void a_late_request_is_answered_early_and_once(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    late_count = 0;
    server_start(&fixture);
    int fd = dial(&fixture), other = dial(&fixture);
    struct buf in = {0}, others = {0};
    give_text(fd, "GET /late?work" R11 HOST "\r\n");
    expect_one(fd, &in, "HTTP/1.1 503 ", "late");
    give_text(fd, "GET /release" R11 HOST "\r\n"); /* after its answer has left */
    expect_one(fd, &in, "HTTP/1.1 200 ", "released");

    give_text(fd, "GET /held?first" R11 HOST "\r\nGET /late?second" R11 HOST "\r\n");
    wait_for_text(other, &others, "GET /latecount" R11 HOST "\r\n", "2");
    give_text(other, "GET /release" R11 HOST "\r\n"); /* while its answer waits for its turn */
    expect_one(other, &others, "HTTP/1.1 200 ", "released");
    expect_one(fd, &in, "HTTP/1.1 200 ", "first");
    expect_one(fd, &in, "HTTP/1.1 503 ", "late");

    give_text(fd, "GET /held" R11 HOST "\r\nGET /late" R11 HOST "\r\n");
    wait_for_text(other, &others, "GET /latecount" R11 HOST "\r\n", "3");
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    wait_for_text(other, &others, "GET /open" R11 HOST "\r\n", "1");
    give_text(other, "GET /release" R11 HOST "\r\n"); /* after its client went */
    expect_one(other, &others, "HTTP/1.1 200 ", "released");

    give_text(other, "GET /late" R11 HOST "\r\n");
    expect_one(other, &others, "HTTP/1.1 503 ", "late");
    buf_done(&in);
    buf_done(&others);
    close(other);
    server_end(&fixture); /* released after the server is gone */
}

static void an_answer_that_is_held_back_is_given_once_later(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    kept_back = 0;
    server_start(&fixture);
    int fd = dial(&fixture), other = dial(&fixture);
    struct buf in = {0}, others = {0};
    give_text(fd, "GET /kept?it" R11 HOST "\r\nGET /held?behind" R11 HOST "\r\n");
    give_text(fd, "GET /release" R11 HOST "\r\n");
    wait_for_text(other, &others, "GET /heldcount" R11 HOST "\r\n", "1 waiting, 1 held back");
    give_text(other, "GET /release" R11 HOST "\r\n");
    expect_one(other, &others, "HTTP/1.1 200 ", "released");
    expect_one(fd, &in, "HTTP/1.1 200 ", "it");
    expect_one(fd, &in, "HTTP/1.1 200 ", "behind");
    expect_one(fd, &in, "HTTP/1.1 200 ", "released");

    give_text(fd, "GET /kept" R11 HOST "\r\n");
    wait_for_text(other, &others, "GET /heldcount" R11 HOST "\r\n", "1 waiting, 1 held back");
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    wait_for_text(other, &others, "GET /open" R11 HOST "\r\n", "1");
    for (int i = 0; i < 2; i++) { /* its client is gone: held back all the same, then dropped */
        give_text(other, "GET /release" R11 HOST "\r\n");
        expect_one(other, &others, "HTTP/1.1 200 ", "released");
    }
    wait_for_text(other, &others, "GET /heldcount" R11 HOST "\r\n", "0 waiting, 2 held back");
    buf_done(&in);
    buf_done(&others);
    close(other);
    server_end(&fixture);
}

/* ---- listening ---- */

static void listens_on_unix_sockets_and_takes_over_stale_ones(void **state)
{
    (void)state;
    char directory[] = "/tmp/keymeter-http-XXXXXX", path[64];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/s", directory);
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    strcpy(local.sun_path, path);
    int stale = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(stale, (struct sockaddr *)&local, sizeof local), 0);
    close(stale);
    struct fixture fixture = {.config.address = path};
    server_start(&fixture);
    assert_string_equal(fixture.bound, path);
    struct stat file;
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0660);
    expect_status(&fixture, "GET /info HTTP/1.1\r\n" CLOSE, "HTTP/1.1 200 ");

    uv_loop_t loop;
    struct http_server *second;
    char bound[128];
    const char *why = NULL;
    uv_loop_init(&loop);
    assert_int_equal(http_server_new(&second, &loop), ERR_OK);
    assert_int_equal(http_listen(second, &fixture.config, bound, &why), ERR_EXISTS);
    assert_non_null(strstr(why, "another process listens there"));
    http_server_stop(second, 0, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);

    server_end(&fixture);
    assert_int_equal(stat(path, &file), -1);
    rmdir(directory);
}

static void refuses_addresses_that_are_not_safe_or_not_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0.0.0.0:0",       "[::]:0", "192.0.2.1:80", "127.0.0.1", "x:1",
        "127.0.0.1:99999", "[::1:1", "127.0.0.1:",   ":80",       ""};
    uv_loop_t loop;
    struct http_server *server;
    char bound[128];
    const char *why = NULL;
    uv_loop_init(&loop);
    assert_int_equal(http_server_new(&server, &loop), ERR_OK);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct http_listen_config config = {.address = bad[i], .handler = handle};
        assert_int_equal(http_listen(server, &config, bound, &why), ERR_INVALID);
        assert_true(strlen(why) > 20);
    }
    struct http_listen_config open = {
        .address = "0.0.0.0:0", .handler = handle, .allow_cleartext = true, .reuse_port = true};
    assert_int_equal(http_listen(server, &open, bound, &why), ERR_OK);
    open.address = bound;
    char again[128];
    assert_int_equal(http_listen(server, &open, again, &why), ERR_OK);
    assert_string_equal(again, bound);
    http_server_stop(server, 0, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_two_parsers_might_read_in_two_ways),
        cmocka_unit_test(answers_what_came_before_a_bad_request),
        cmocka_unit_test(refuses_what_is_too_large),
        cmocka_unit_test(serves_the_same_however_the_bytes_are_cut),
        cmocka_unit_test(answers_in_the_order_of_the_requests),
        cmocka_unit_test(pipelined_answers_finished_backwards_leave_in_order),
        cmocka_unit_test(understands_requests),
        cmocka_unit_test(every_answer_has_its_headers),
        cmocka_unit_test(encourages_a_client_that_waits_to_send_its_body),
        cmocka_unit_test(a_slow_reader_gets_all_of_large_answers),
        cmocka_unit_test(a_client_that_shuts_its_side_is_answered),
        cmocka_unit_test(late_heads_and_bodies_get_408_and_idle_connections_are_closed),
        cmocka_unit_test(more_connections_than_the_cap_get_503),
        cmocka_unit_test(a_client_may_go_before_its_answer),
        cmocka_unit_test(stopping_answers_what_is_in_flight_and_closes_the_idle),
        cmocka_unit_test(the_drain_ends_at_its_deadline_and_requests_may_outlive_the_server),
        cmocka_unit_test(a_late_request_is_answered_early_and_once),
        cmocka_unit_test(an_answer_that_is_held_back_is_given_once_later),
        cmocka_unit_test(listens_on_unix_sockets_and_takes_over_stale_ones),
        cmocka_unit_test(refuses_addresses_that_are_not_safe_or_not_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
