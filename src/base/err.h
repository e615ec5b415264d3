/* The one error type. Functions that can fail return `enum err`; what went wrong for a client is a
 * `struct problem` (service/problem.h), not an err. Whoever handles an error logs it, once. */
#ifndef KEYMETER_BASE_ERR_H
#define KEYMETER_BASE_ERR_H

enum err {
    ERR_OK = 0,
    ERR_NO_MEMORY,
    ERR_INVALID, /* input that can never work */
    ERR_NOT_FOUND,
    ERR_EXISTS, /* a unique key stands already */
    ERR_DENIED, /* refused by a rule; the operation's problem tells which */
    ERR_FULL,   /* a bounded queue or buffer is full: try later */
    ERR_TIMEOUT,
    ERR_IO,
    ERR_CLOSED,       /* shutting down, or the peer is gone */
    ERR_CRYPTO,       /* a seal or signature did not open */
    ERR_FENCED,       /* this node's incarnation has been fenced: nothing was written */
    ERR_DB,           /* a statement failed for good: a bug, or a schema that does not fit */
    ERR_DB_UNABLE,    /* the server cannot write: disk full, read-only; undone, may work later */
    ERR_DB_RETRY,     /* deadlock, lock wait, snapshot conflict: rolled back, run it again */
    ERR_DB_LOST,      /* no connection, and nothing that was sent can have been committed */
    ERR_DB_UNCERTAIN, /* the connection was lost while a commit was under way: outcome unknown */
};

/* The enumerator's name, for logs. Any thread. */
const char *err_name(enum err error);

#endif
