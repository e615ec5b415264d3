/* The byte scan in front of llhttp. Called by http_connection.c on the loop for each request; pure.
 *
 * llhttp alone lets several ambiguous heads through (folded lines, lone CR and LF in places, `#` in
 * the target). Everything is checked line by line here, each byte once; a partial last line is
 * taken up again where it was left. What passes is handed to llhttp unchanged. */
#include "io/http_scan.h"

#include "base/codec.h"

#include <string.h>

enum { TOKEN = 1, TEXT = 2, TARGET = 4, CHUNK_DIGITS_MAX = 8 };

#define T3 (TOKEN | TEXT | TARGET)
#define X2 (TEXT | TARGET)
/* What a byte may be: TEXT in a line, TARGET in the request target, TOKEN in a name (RFC 9110,
 * tchar). */
static const unsigned char classes[256] = {
    ['\t'] = TEXT,        [' '] = TEXT,       ['!'] = T3,         ['"'] = X2,
    ['#'] = TOKEN | TEXT, ['$'] = T3,         ['%'] = T3,         ['&'] = T3,
    ['\''] = T3,          ['('] = X2,         [')'] = X2,         ['*'] = T3,
    ['+'] = T3,           [','] = X2,         ['-'] = T3,         ['.'] = T3,
    ['/'] = X2,           ['0' ... '9'] = T3, [':' ... '@'] = X2, ['A' ... 'Z'] = T3,
    ['[' ... ']'] = X2,   ['^' ... '`'] = T3, ['a' ... 'z'] = T3, ['{'] = X2,
    ['|'] = T3,           ['}'] = X2,         ['~'] = T3,         [0x80 ... 0xFF] = TEXT,
};

static size_t run_of(const char *data, size_t length, unsigned class)
{
    const unsigned char *at = (const unsigned char *)data;
    size_t n = 0;
    /* Four at a time: this is where most of the bytes of a call are looked at. */
    while (length - n >= 4 &&
           (classes[at[n]] & classes[at[n + 1]] & classes[at[n + 2]] & classes[at[n + 3]] & class))
        n += 4;
    while (n < length && (classes[(unsigned char)data[n]] & class))
        n++;
    return n;
}

static bool request_line_is_good(const char *line, size_t length)
{
    size_t method = run_of(line, length, TOKEN);
    if (method == 0 || method >= length || line[method] != ' ') return false;
    const char *target = line + method + 1;
    size_t left = length - method - 1;
    size_t target_length = run_of(target, left, TARGET);
    if (target_length == 0) return false;
    const char *version = target + target_length;
    if (left - target_length != strlen(" HTTP/1.1")) return false;
    return memcmp(version, " HTTP/1.", 8) == 0 && (version[8] == '0' || version[8] == '1');
}

static bool header_line_is_good(const char *line, size_t length)
{
    size_t name = run_of(line, length, TOKEN);
    return name > 0 && name < length && line[name] == ':';
}

enum http_scan_result http_scan_head(struct http_scan *scan, const char *data, size_t length,
                                     size_t *head_length)
{
    while (scan->at < length) {
        const char *feed = memchr(data + scan->at, '\n', length - scan->at);
        size_t end = feed ? (size_t)(feed - data) : length;
        size_t stop = scan->at + run_of(data + scan->at, end - scan->at, TEXT);
        /* Only a CR may stop the run, and only as the last byte before the LF or of what is here.
         */
        if (stop < end && (data[stop] != '\r' || stop + 1 != end)) return HTTP_SCAN_BAD;
        if (!feed) {
            scan->at = stop;
            return HTTP_SCAN_MORE;
        }
        if (stop == end) return HTTP_SCAN_BAD;
        const char *line = data + scan->line;
        size_t line_length = stop - scan->line;
        scan->line = scan->at = end + 1;
        if (line_length == 0) {
            if (scan->lines > 0) {
                *head_length = end + 1;
                return HTTP_SCAN_DONE;
            }
            if (scan->skipped_a_line) return HTTP_SCAN_BAD;
            scan->skipped_a_line = true;
            continue;
        }
        bool good = scan->lines == 0 ? request_line_is_good(line, line_length)
                                     : header_line_is_good(line, line_length);
        if (!good) return HTTP_SCAN_BAD;
        scan->lines++;
    }
    return HTTP_SCAN_MORE;
}

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
};

static bool size_step(struct http_chunk_scan *scan, char c)
{
    int digit = hex_value(c);
    if (digit >= 0) {
        scan->left = scan->left << 4 | (unsigned)digit;
        return ++scan->digits <= CHUNK_DIGITS_MAX;
    }
    if (scan->digits == 0 || (c != '\r' && c != ';')) return false;
    scan->state = c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
    scan->digits = 0;
    scan->decoded += scan->left;
    return true;
}

/* In text that ends with CR: goes to `next` there. */
static bool text_step(struct http_chunk_scan *scan, char c, enum chunk_state next)
{
    if (c == '\r') scan->state = (int)next;
    return c == '\r' || (classes[(unsigned char)c] & TEXT);
}

/* Exactly this byte, then `next`. */
static bool byte_step(struct http_chunk_scan *scan, char c, char wanted, enum chunk_state next)
{
    scan->state = (int)next;
    return c == wanted;
}

static bool trailer_step(struct http_chunk_scan *scan, char c)
{
    if (scan->state == (int)TRAILER_START && c == '\r') {
        scan->state = END_LF;
        return true;
    }
    if (scan->state == (int)TRAILER_NAME && c == ':') {
        scan->state = TRAILER_VALUE;
        return true;
    }
    scan->state = TRAILER_NAME;
    return classes[(unsigned char)c] & TOKEN;
}

static bool chunk_step(struct http_chunk_scan *scan, char c)
{
    switch ((enum chunk_state)scan->state) {
    case CHUNK_SIZE:
        return size_step(scan, c);
    case CHUNK_EXTENSION:
        return text_step(scan, c, CHUNK_SIZE_LF);
    case CHUNK_SIZE_LF:
        return byte_step(scan, c, '\n', scan->left ? CHUNK_DATA : TRAILER_START);
    case CHUNK_DATA:
        return false; /* passed over in http_scan_chunked */
    case CHUNK_DATA_CR:
        return byte_step(scan, c, '\r', CHUNK_DATA_LF);
    case CHUNK_DATA_LF:
        return byte_step(scan, c, '\n', CHUNK_SIZE);
    case TRAILER_START:
    case TRAILER_NAME:
        return trailer_step(scan, c);
    case TRAILER_VALUE:
        return text_step(scan, c, TRAILER_LF);
    case TRAILER_LF:
        return byte_step(scan, c, '\n', TRAILER_START);
    case END_LF:
        return c == '\n';
    }
    return false;
}

enum http_scan_result http_scan_chunked(struct http_chunk_scan *scan, const char *data,
                                        size_t length, size_t *used)
{
    size_t at = 0;
    enum http_scan_result result = HTTP_SCAN_MORE;
    while (at < length && result == HTTP_SCAN_MORE) {
        if (scan->state == (int)CHUNK_DATA) {
            size_t step = length - at < scan->left ? length - at : (size_t)scan->left;
            at += step;
            scan->left -= step;
            if (scan->left == 0) scan->state = CHUNK_DATA_CR;
            continue;
        }
        bool was_end = scan->state == (int)END_LF;
        if (!chunk_step(scan, data[at]))
            result = HTTP_SCAN_BAD;
        else if (was_end)
            result = HTTP_SCAN_DONE;
        at++;
    }
    scan->raw += at;
    *used = at;
    return result;
}
