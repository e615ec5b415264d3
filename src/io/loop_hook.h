/* A callback at the end of each turn of the loop, after all that was readable has been read: where
 * work gathered in a turn is sent on together. Loop thread. */
#ifndef KEYMETER_IO_LOOP_HOOK_H
#define KEYMETER_IO_LOOP_HOOK_H

#include "base/compiler.h"
#include "base/err.h"

struct uv_loop_s;
struct loop_hook;

MUST_USE enum err loop_hook_new(struct loop_hook **out, struct uv_loop_s *loop,
                                void (*callback)(void *context), void *context);
/* The callback never runs again; the handle goes when the loop turns. NULL is fine. */
void loop_hook_free(struct loop_hook **hook);

#endif
