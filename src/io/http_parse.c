/* From a head that passed http_scan to a filled http_request, by llhttp, with the guards around it
 * that llhttp leaves to its user (RFC 9112: 3.2, 6.1, 6.3). Called by http_connection.c, on the
 * loop. llhttp starts anew for each request and is never made lenient; where it and the scan do not
 * see the same number of headers, the request is refused. */
#include "io/http_private.h"

#include <string.h>

enum { CONTENT_LENGTH_DIGITS_MAX = 15 };

/* llhttp may give a text in pieces, which lie one behind the other. */
static int extend(struct span *text, const char *at, size_t length)
{
    if (!text->data) {
        *text = (struct span){at, length};
        return 0;
    }
    if (text->data + text->length != at) return -1;
    text->length += length;
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t length)
{
    struct http_exchange *exchange = parser->data;
    return extend(&exchange->request.target, at, length);
}

static int on_header_field(llhttp_t *parser, const char *at, size_t length)
{
    struct http_exchange *exchange = parser->data;
    if (exchange->head_complete) return 0; /* a trailer */
    if (exchange->request.header_count >= exchange->header_room) return -1;
    return extend(&exchange->header_slots[exchange->request.header_count].name, at, length);
}

static int on_header_value(llhttp_t *parser, const char *at, size_t length)
{
    struct http_exchange *exchange = parser->data;
    if (exchange->head_complete) return 0;
    if (exchange->request.header_count >= exchange->header_room) return -1;
    return extend(&exchange->header_slots[exchange->request.header_count].value, at, length);
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct http_exchange *exchange = parser->data;
    if (exchange->head_complete) return 0;
    if (exchange->request.header_count >= exchange->header_room) return -1;
    struct span *value = &exchange->header_slots[exchange->request.header_count++].value;
    if (!value->data) *value = SPAN("");
    while (value->length &&
           (value->data[value->length - 1] == ' ' || value->data[value->length - 1] == '\t'))
        value->length--;
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http_exchange *exchange = parser->data;
    exchange->head_complete = true;
    exchange->keep_alive = llhttp_should_keep_alive(parser);
    parser->upgrade = 0; /* else an Upgrade header would end the parsing here */
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    struct http_exchange *exchange = parser->data;
    buf_add(&exchange->body, at, length);
    return exchange->body.failed ? -1 : 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct http_exchange *exchange = parser->data;
    exchange->message_complete = true;
    return 0;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static enum http_method method_of(uint8_t method)
{
    static const enum http_method known[] = {
        [HTTP_DELETE] = HTTP_M_DELETE, [HTTP_GET] = HTTP_M_GET, [HTTP_HEAD] = HTTP_M_HEAD,
        [HTTP_POST] = HTTP_M_POST,     [HTTP_PUT] = HTTP_M_PUT, [HTTP_OPTIONS] = HTTP_M_OPTIONS,
        [HTTP_PATCH] = HTTP_M_PATCH,
    };
    if (method >= COUNT_OF(known)) return HTTP_M_OTHER;
    /* Slots in between are zero, as HTTP_M_GET is. */
    return known[method] == HTTP_M_GET && method != HTTP_GET ? HTTP_M_OTHER : known[method];
}

/* Path and query of an origin-form or absolute-form target, or "*" with OPTIONS. */
static bool target_split(struct http_request *request)
{
    struct span rest = request->target;
    if (span_starts(rest, "http://") || span_starts(rest, "https://")) {
        size_t skip = rest.data[4] == 's' ? 8 : 7;
        rest = (struct span){rest.data + skip, rest.length - skip};
        size_t host = 0;
        while (host < rest.length && rest.data[host] != '/' && rest.data[host] != '?')
            host++;
        if (host == 0) return false;
        rest = (struct span){rest.data + host, rest.length - host};
        if (rest.length == 0) rest = SPAN("/");
    }
    bool asterisk = request->method == HTTP_M_OPTIONS && span_is(rest, "*");
    if (!asterisk && (rest.length == 0 || rest.data[0] != '/')) return false;
    const char *mark = memchr(rest.data, '?', rest.length);
    size_t path = mark ? (size_t)(mark - rest.data) : rest.length;
    request->path = (struct span){rest.data, path};
    request->query = mark ? (struct span){mark + 1, rest.length - path - 1} : SPAN("");
    return true;
}

static bool host_is_good(struct span host)
{
    for (size_t i = 0; i < host.length; i++) {
        unsigned char c = (unsigned char)host.data[i];
        bool other = memchr("[]:.-_~%!$&'()*+;=", c, 18) != NULL;
        bool alphanumeric = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!other && !alphanumeric) return false;
    }
    return true;
}

static bool content_length_parse(struct span text, uint64_t *value)
{
    if (text.length == 0 || text.length > CONTENT_LENGTH_DIGITS_MAX) return false;
    *value = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        *value = *value * 10 + (unsigned)(text.data[i] - '0');
    }
    return true;
}

/* A client's id is echoed when it is harmless; else the fresh one stays. */
static void take_request_id(struct http_request *request, struct span id)
{
    if (id.length == 0 || id.length >= sizeof request->request_id) return;
    for (size_t i = 0; i < id.length; i++) {
        unsigned char c = (unsigned char)id.data[i];
        bool alphanumeric = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!alphanumeric && c != '.' && c != '_' && c != '-') return;
    }
    memcpy(request->request_id, id.data, id.length);
    request->request_id[id.length] = '\0';
}

/* The headers that frame the message: each at most once, and no two that contradict. */
static bool framing_is_good(struct http_exchange *exchange)
{
    struct http_request *request = &exchange->request;
    unsigned hosts = 0, lengths = 0, encodings = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        if (header->name.length == 4 && span_is_nocase(header->name, "Host")) {
            hosts++;
            if (!host_is_good(header->value)) return false;
        } else if (header->name.length == 14 && span_is_nocase(header->name, "Content-Length")) {
            lengths++;
            if (!content_length_parse(header->value, &exchange->content_length)) return false;
        } else if (header->name.length == 17 && span_is_nocase(header->name, "Transfer-Encoding")) {
            encodings++;
            if (!span_is(header->value, "chunked")) return false;
        } else if (header->name.length == 12 && span_is_nocase(header->name, "X-Request-Id")) {
            take_request_id(request, header->value);
        } else if (header->name.length == 6 && span_is_nocase(header->name, "Expect")) {
            exchange->expects_continue =
                !exchange->old_version && span_is_nocase(header->value, "100-continue");
        }
    }
    exchange->chunked = encodings > 0;
    if (hosts > 1 || (hosts == 0 && !exchange->old_version)) return false;
    if (encodings > 1 || lengths > 1 || (encodings && lengths)) return false;
    return !(encodings && exchange->old_version);
}

static char *head_copy(struct http_exchange *exchange, struct span head)
{
    char *copy = head.length <= HTTP_INLINE_HEAD
                     ? exchange->inline_head
                     : arena_alloc(&exchange->request.arena, head.length);
    if (copy) memcpy(copy, head.data, head.length);
    return copy;
}

static bool header_slots_make(struct http_exchange *exchange, unsigned count)
{
    exchange->header_slots = exchange->inline_headers;
    exchange->header_room = HTTP_INLINE_HEADERS;
    if (count > HTTP_INLINE_HEADERS) {
        exchange->header_slots =
            arena_alloc(&exchange->request.arena, count * sizeof(struct http_header));
        exchange->header_room = count;
        if (!exchange->header_slots) return false;
    } else {
        memset(exchange->inline_headers, 0, count * sizeof(struct http_header));
    }
    exchange->header_room = count;
    exchange->request.headers = exchange->header_slots;
    return true;
}

int http_parse_head(struct http_exchange *exchange, llhttp_t *parser, struct span head,
                    unsigned lines)
{
    struct http_request *request = &exchange->request;
    char *copy = head_copy(exchange, head);
    if (!copy || !header_slots_make(exchange, lines - 1)) return 503;
    llhttp_init(parser, HTTP_REQUEST, &settings);
    parser->data = exchange;
    if (llhttp_execute(parser, copy, head.length) != HPE_OK) return 400;
    if (!exchange->head_complete || request->header_count != lines - 1) return 400;
    if (parser->method == HTTP_CONNECT || parser->method == HTTP_PRI) return 400;
    request->method = method_of(parser->method);
    request->method_text = span_text(llhttp_method_name((llhttp_method_t)parser->method));
    exchange->old_version = parser->http_minor == 0;
    if (!framing_is_good(exchange) || !target_split(request)) return 400;
    bool has_body = exchange->chunked || exchange->content_length > 0;
    return exchange->message_complete == has_body ? 400 : 0;
}

int http_parse_chunked(struct http_exchange *exchange, llhttp_t *parser, struct span raw, bool last)
{
    if (llhttp_execute(parser, raw.data, raw.length) != HPE_OK)
        return exchange->body.failed ? 413 : 400;
    return exchange->message_complete == last ? 0 : 400;
}
