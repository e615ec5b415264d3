/* The `traceparent` header (W3C Trace Context, https://www.w3.org/TR/trace-context/). Pure. */
#ifndef KEYMETER_API_TRACE_CONTEXT_H
#define KEYMETER_API_TRACE_CONTEXT_H

#include "base/span.h"

#include <stdbool.h>

struct trace_context {
    struct span trace_id, span_id; /* 32 and 16 lower-case hex digits, within the header */
};

/* False: malformed, all zero, or of the invalid version ff; nothing of it may be used then. */
bool trace_context_parse(struct span header, struct trace_context *out);

#endif
