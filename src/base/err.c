/* Names of errors for logs. */
#include "base/err.h"

const char *err_name(enum err error)
{
    switch (error) {
    case ERR_OK:
        return "ok";
    case ERR_NO_MEMORY:
        return "no_memory";
    case ERR_INVALID:
        return "invalid";
    case ERR_NOT_FOUND:
        return "not_found";
    case ERR_EXISTS:
        return "exists";
    case ERR_DENIED:
        return "denied";
    case ERR_FULL:
        return "full";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_IO:
        return "io";
    case ERR_CLOSED:
        return "closed";
    case ERR_CRYPTO:
        return "crypto";
    case ERR_FENCED:
        return "fenced";
    case ERR_DB:
        return "db";
    case ERR_DB_UNABLE:
        return "db_unable";
    case ERR_DB_RETRY:
        return "db_retry";
    case ERR_DB_LOST:
        return "db_lost";
    case ERR_DB_UNCERTAIN:
        return "db_uncertain";
    }
    return "unknown";
}
