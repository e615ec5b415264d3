/* uv_check behind a callback. It does not keep the loop alive. */
#include "io/loop_hook.h"

#include <stdlib.h>
#include <uv.h>

struct loop_hook {
    uv_check_t check;
    void (*callback)(void *context);
    void *context;
};

static void on_check(uv_check_t *check)
{
    struct loop_hook *hook = check->data;
    hook->callback(hook->context);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

enum err loop_hook_new(struct loop_hook **out, struct uv_loop_s *loop,
                       void (*callback)(void *context), void *context)
{
    struct loop_hook *hook = calloc(1, sizeof *hook);
    if (!hook) return ERR_NO_MEMORY;
    hook->callback = callback;
    hook->context = context;
    hook->check.data = hook;
    if (uv_check_init(loop, &hook->check)) {
        free(hook);
        return ERR_IO;
    }
    uv_check_start(&hook->check, on_check);
    uv_unref((uv_handle_t *)&hook->check);
    *out = hook;
    return ERR_OK;
}

void loop_hook_free(struct loop_hook **hook)
{
    if (!*hook) return;
    uv_close((uv_handle_t *)&(*hook)->check, on_closed);
    *hook = NULL;
}
