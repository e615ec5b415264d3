/* What a client did wrong or cannot have, in the contract's words (RFC 9457). Set by a service
 * operation that returns ERR_DENIED; turned into an answer by api/problem.c. */
#ifndef KEYMETER_SERVICE_PROBLEM_H
#define KEYMETER_SERVICE_PROBLEM_H

#include "base/compiler.h"
#include "base/err.h"

enum { PROBLEM_FIELDS_MAX = 16 };

struct problem {
    int status;           /* HTTP status */
    const char *code;     /* stable snake_case word, a literal */
    char detail[256];     /* for people: names the field and the mend */
    unsigned retry_after; /* seconds; 0: no Retry-After */
    char customer_id[24]; /* member of that name, when not empty (409 customer_exists) */
    unsigned field_count; /* validation errors; status 422 */
    struct {
        char location[96]; /* "body.rate_limits[0].limit", "query.limit" */
        char message[160];
    } fields[PROBLEM_FIELDS_MAX];
};

/* Fills the problem and returns ERR_DENIED, for `return problem_set(...)`. */
MUST_USE enum err problem_set(struct problem *problem, int status, const char *code,
                              const char *format, ...) PRINTF_LIKE(4, 5);
/* Adds a validation error (status 422, code validation_failed); more than the maximum are dropped.
 */
void problem_add_field(struct problem *problem, const char *location, const char *format, ...)
    PRINTF_LIKE(3, 4);

#endif
