/* Lists of names: a JSON array in the column, joined by commas in memory (core/permission.h). Any
 * thread. */
#ifndef KEYMETER_STORE_NAMES_H
#define KEYMETER_STORE_NAMES_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* Appends the JSON array of a comma-joined list. */
void names_to_json(struct span joined, struct buf *out);
/* The comma-joined list in the arena; ERR_DB when the column holds no array of strings. */
MUST_USE enum err names_from_json(struct span json, struct arena *arena, const char **joined);

#endif
