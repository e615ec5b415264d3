/* The real HTTP server on a Unix socket, and one connection of a client after another, all on the
 * calling thread: each input is sent in pieces, the loop turned between them. For fuzz targets. */
#ifndef KEYMETER_TESTS_WIRE_H
#define KEYMETER_TESTS_WIRE_H

#include "fuzz.h"
#include "io/http_server.h"

/* A listener of the one server; at most WIRE_LISTENERS. Returns its number. */
enum { WIRE_LISTENERS = 2 };
unsigned wire_listen(struct http_listen_config config);
/* Called after each turn of the loop, to answer what is pending; may be NULL. */
void wire_after_turn(void (*after_turn)(void));
/* Sends the bytes cut into pieces, then shuts that side; *answers (cleared before) gets all that
 * comes back. Returns when the server has closed the connection, which must be soon. */
void wire_talk(unsigned listener, struct span bytes, struct cutter cutter, struct buf *answers);

/* One answer of `answers`, which moves past it; interim ones (100) are passed over. False: no
 * further one. An answer that is cut off or malformed does not hold. */
struct wire_answer {
    int status;
    size_t announced; /* Content-Length: more than the body has only in answer to HEAD */
    struct span head, body;
};
bool wire_answer_next(struct span *answers, struct wire_answer *answer);

#endif
