/* Thin wrappers of libuv: loop, timer, signal. Called by app and service on the loop's
 * thread. Each object owns its uv handle, which frees the object when libuv has let go of it. */
#include "io/loop.h"

#include <stdlib.h>
#include <uv.h>

struct loop_timer {
    uv_timer_t handle;
    void (*callback)(void *context);
    void *context;
};

struct loop_signal {
    uv_signal_t handle;
    void (*callback)(void *context);
    void *context;
};

enum err loop_new(struct uv_loop_s **out)
{
    *out = malloc(sizeof **out);
    if (!*out) return ERR_NO_MEMORY;
    if (uv_loop_init(*out) == 0) return ERR_OK;
    free(*out);
    *out = NULL;
    return ERR_IO;
}

void loop_run(struct uv_loop_s *loop)
{
    uv_run(loop, UV_RUN_DEFAULT);
}

void loop_stop(struct uv_loop_s *loop)
{
    uv_stop(loop);
}

enum err loop_free(struct uv_loop_s **loop)
{
    if (!*loop) return ERR_OK;
    uv_run(*loop, UV_RUN_NOWAIT);
    if (uv_loop_close(*loop) != 0) return ERR_FULL;
    free(*loop);
    *loop = NULL;
    return ERR_OK;
}

uint64_t loop_now_ms(const struct uv_loop_s *loop)
{
    return uv_now(loop);
}

static void free_handle(uv_handle_t *handle)
{
    free(handle->data);
}

static void timer_fired(uv_timer_t *handle)
{
    struct loop_timer *timer = handle->data;
    timer->callback(timer->context);
}

enum err loop_timer_new(struct loop_timer **out, struct uv_loop_s *loop,
                        void (*callback)(void *context), void *context)
{
    struct loop_timer *timer = *out = calloc(1, sizeof *timer);
    if (!timer) return ERR_NO_MEMORY;
    uv_timer_init(loop, &timer->handle);
    timer->handle.data = timer;
    timer->callback = callback;
    timer->context = context;
    return ERR_OK;
}

void loop_timer_start(struct loop_timer *timer, uint64_t after_ms, uint64_t repeat_ms)
{
    uv_timer_start(&timer->handle, timer_fired, after_ms, repeat_ms);
}

void loop_timer_stop(struct loop_timer *timer)
{
    uv_timer_stop(&timer->handle);
}

void loop_timer_unref(struct loop_timer *timer)
{
    uv_unref((uv_handle_t *)&timer->handle);
}

void loop_timer_free(struct loop_timer **timer)
{
    if (*timer) uv_close((uv_handle_t *)&(*timer)->handle, free_handle);
    *timer = NULL;
}

static void signal_fired(uv_signal_t *handle, int number)
{
    (void)number;
    struct loop_signal *signal = handle->data;
    signal->callback(signal->context);
}

enum err loop_signal_new(struct loop_signal **out, struct uv_loop_s *loop, int number,
                         void (*callback)(void *context), void *context)
{
    struct loop_signal *signal = *out = calloc(1, sizeof *signal);
    if (!signal) return ERR_NO_MEMORY;
    signal->callback = callback;
    signal->context = context;
    signal->handle.data = signal;
    if (uv_signal_init(loop, &signal->handle) != 0) {
        free(signal);
        *out = NULL;
        return ERR_IO;
    }
    if (uv_signal_start(&signal->handle, signal_fired, number) == 0) return ERR_OK;
    loop_signal_free(out);
    return ERR_IO;
}

void loop_signal_free(struct loop_signal **signal)
{
    if (*signal) uv_close((uv_handle_t *)&(*signal)->handle, free_handle);
    *signal = NULL;
}
