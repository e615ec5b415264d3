/* Requests that two parsers might read in two ways: each is to be answered with 400, once, and the
 * connection closed. */
#ifndef KEYMETER_TESTS_HTTP_VECTORS_H
#define KEYMETER_TESTS_HTTP_VECTORS_H

#include <stddef.h>

struct vector {
    const char *data;
    size_t length;
};
#define V(text)                                                                                    \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
static const struct vector smuggling[] = {
    /* line ends */
    V("GET / HTTP/1.1\nHost: x\n\n"),
    V("GET / HTTP/1.1\r\nHost: x\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\n\n"),
    V("GET / HTTP/1.1\rHost: x\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\nX: \rTransfer-Encoding: chunked\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\nX: a\nContent-Length: 5\r\n\r\n"),
    V("GET / HTTP/1.1\r\r\nHost: x\r\n\r\n"),
    V("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    /* controls */
    V("GET / HTTP/1.1\r\nHost: x\r\nA: a\0b\r\n\r\n"),
    V("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\nA: \x0B\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\nA: \x7F\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n"),
    V("\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"),
    /* the request line */
    V("GET  / HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("GET /  HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("GET / HTTP/1.1 \r\nHost: x\r\n\r\n"),
    V(" GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("GET / a HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("GET /#a HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("GET /\xC3\xA4 HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("GET a HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("GET ?a HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("GET http:// HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("GET /\r\n\r\n"),
    V("GET / HTTP/0.9\r\nHost: x\r\n\r\n"),
    V("GET / HTTP/1.2\r\nHost: x\r\n\r\n"),
    V("GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
    V("GET / HTTP/1.10\r\nHost: x\r\n\r\n"),
    V("GET / http/1.1\r\nHost: x\r\n\r\n"),
    V("GET / HTTP/1,1\r\nHost: x\r\n\r\n"),
    V("GET / ICE/1.0\r\nHost: x\r\n\r\n"),
    V("get / HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("BREW / HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n"),
    V("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    V("PRI * HTTP/1.1\r\nHost: x\r\n\r\n"),
    /* header lines */
    V("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\tc\r\n\r\n"),
    V("GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding\t: chunked\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\nA(b): c\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\n\xC3\xA4: c\r\n\r\n"),
    /* Host */
    V("GET / HTTP/1.1\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n"),
    V("GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x y\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x, y\r\n\r\n"),
    V("GET / HTTP/1.1\r\nHost: x/@y\r\n\r\n"),
    /* Content-Length */
    V("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    V("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\ncontent-length: 4\r\n\r\nabc"),
    V("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc"),
    V("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc"),
    V("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabc"),
    V("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc"),
    V("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3 3\r\n\r\nabc"),
    V("POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nabc"),
    V("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3.0\r\n\r\nabc"),
    V("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0000000000000003\r\n\r\nabc"),
    V("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551619\r\n\r\nabc"),
    /* Transfer-Encoding */
    V("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: "
      "chunked\r\n\r\n0\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: "
      "5\r\n\r\n0\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
      "chunked\r\n\r\n"
      "0\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHost: x\r\nTRANSFER-ENCODING: chunked\r\ncONTENT-lENGTH: "
      "5\r\n\r\n0\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\ntRANSFER-eNCODING: "
      "chunked\r\n\r\n0\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHost: x\r\nTRANSFER-ENCODING: gzip, chunked\r\n\r\n0\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHost: x\r\nTRANSFER-ENCODING: identity\r\n\r\n"),
    V("POST / HTTP/1.0\r\nHost: x\r\nTRANSFER-ENCODING: chunked\r\n\r\n0\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHOST: x\r\nhOST: x\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHost: x\r\nCONTENT-LENGTH: 3\r\nContent-length: 3\r\n\r\nabc"),
    V("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n\r\n"),
    V("POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    V("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
/* chunks */
#define TE "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    V(TE "5\nhello\r\n0\r\n\r\n"),
    V(TE "5\r\nhello0\r\n\r\n"),
    V(TE "5\r\nhello\n0\r\n\r\n"),
    V(TE "0x5\r\nhello\r\n0\r\n\r\n"),
    V(TE "-1\r\n\r\n"),
    V(TE "5 \r\nhello\r\n0\r\n\r\n"),
    V(TE "5;a\nb\r\nhello\r\n0\r\n\r\n"),
    V(TE "5;\x01\r\nhello\r\n0\r\n\r\n"),
    V(TE "FFFFFFFFFFFFFFFFF\r\n"),
    V(TE "\r\nhello"),
    V(TE "0\r\nA b: c\r\n\r\n"),
    V(TE "0\r\n A: c\r\n\r\n"),
    V(TE "0\r\nA: c\n\r\n"),
};

#endif
