/* Permission names and lists of them. A list is one text with commas between the names, no spaces,
 * empty for none: that is how it is kept in memory and how it goes into headers. Any thread, no
 * allocation. */
#ifndef KEYMETER_CORE_PERMISSION_H
#define KEYMETER_CORE_PERMISSION_H

#include "base/compiler.h"
#include "base/span.h"

enum { PERMISSION_MAX = 64, PERMISSIONS_MAX = 64 /* in a list */ };

/* 1…64 characters of printable ASCII without space, comma, quotes or backslash. */
MUST_USE bool permission_valid(struct span name);
/* At most 64 valid names, none twice; the empty list is valid. */
MUST_USE bool permissions_valid(struct span joined);
/* True when the list has the name. */
MUST_USE bool permission_has(struct span joined, struct span name);
/* True when `joined` has every name of `wanted`; an empty name in `wanted` is never had. */
MUST_USE bool permission_all(struct span joined, struct span wanted);
/* The first name of *rest, which moves past it; false at the end. */
MUST_USE bool permission_next(struct span *rest, struct span *name);

#endif
