/* Lines in the log about requests: one for each management request of a token, and bounded ones for
 * those who are nobody. Loop thread. */
#ifndef KEYMETER_API_REQUEST_LOG_H
#define KEYMETER_API_REQUEST_LOG_H

#include "core/network.h"
#include "io/http.h"
#include "service/meter.h"

/* For http_listen_config.answered of the management listener. */
void request_log_answered(const struct http_request *request, int status);

enum auth_where { AUTH_API, AUTH_GATEWAY, AUTH_VERIFY };
enum auth_reason { AUTH_MISSING, AUTH_MALFORMED, AUTH_UNKNOWN, AUTH_REVOKED, AUTH_EXPIRED };
enum { AUTH_WHERES = AUTH_VERIFY + 1, AUTH_REASONS = AUTH_EXPIRED + 1 };
/* "api", …; "missing", … */
const char *auth_where_name(enum auth_where where);
const char *auth_reason_name(enum auth_reason reason);

/* A key or token that was refused for what it is. `presented` is shown as its first 10 characters
 * at most, and never more than a quarter of it. address NULL: the request's own client. */
void auth_failed(const struct http_request *request, enum auth_where where, enum auth_reason reason,
                 struct span presented, const struct address *address);
/* The same for what the meter said; codes that are no failed authentication are passed over. */
void auth_failed_code(const struct http_request *request, enum auth_where where,
                      const struct verify_call *call, struct span presented);
uint64_t auth_failures(enum auth_where where, enum auth_reason reason);
/* Lines that log.refusals kept back. */
uint64_t request_log_suppressed(void);

#endif
