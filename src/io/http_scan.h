/* The raw bytes of a request, judged before llhttp sees them: what two parsers might read in two
 * ways (request smuggling) is refused here. Pure, resumable, no allocation. RFC 9112. */
#ifndef KEYMETER_IO_HTTP_SCAN_H
#define KEYMETER_IO_HTTP_SCAN_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http_scan_result { HTTP_SCAN_MORE, HTTP_SCAN_DONE, HTTP_SCAN_BAD };

/* A zeroed one stands at the start of a head. Offsets count from the head's first byte, so the
 * caller may move the bytes between two calls but must keep them all. */
struct http_scan {
    size_t line, at;     /* start of the line under way, first byte not yet looked at */
    unsigned lines;      /* complete ones: the request line and each header */
    bool skipped_a_line; /* one empty line before the request line is borne (RFC 9112, 2.2) */
};

/* `data` is the head from its first byte. Bad are bare CR and LF, NUL and other controls, anything
 * but one space between the parts of the request line, bytes outside ASCII or '#' in the target,
 * versions other than HTTP/1.0 and HTTP/1.1, folded lines, and header names that are not tokens. */
MUST_USE enum http_scan_result http_scan_head(struct http_scan *scan, const char *data,
                                              size_t length, size_t *head_length);

/* A zeroed one stands at the start of a chunked body. */
struct http_chunk_scan {
    int state;
    unsigned digits;
    uint64_t left;         /* of the chunk under way */
    uint64_t raw, decoded; /* bytes seen, and of these data announced so far */
};

/* Walks over the next bytes of a chunked body. *used says how many belong to it; when DONE they end
 * behind the empty line after the trailers. */
MUST_USE enum http_scan_result http_scan_chunked(struct http_chunk_scan *scan, const char *data,
                                                 size_t length, size_t *used);

#endif
