/* Whether the server keeps what it has acknowledged, as its global settings say. Any thread with a
 * connection of its own. */
#ifndef KEYMETER_STORE_DURABILITY_H
#define KEYMETER_STORE_DURABILITY_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>

struct db;

enum { DURABILITY_ERROR_SIZE = 256 };

/* ERR_DENIED: a crash of the server may lose acknowledged commits; `wrong` names the variable and
 * the mend. */
MUST_USE enum err durability_check(struct db *db, char wrong[DURABILITY_ERROR_SIZE]);

/* False: the server writes its redo log past the operating system's cache, so that a crash may
 * leave stale records behind the log's end (docs/decisions/0007). A server without the variable:
 * true. */
MUST_USE enum err durability_redo_is_buffered(struct db *db, bool *buffered);

#endif
