/* The event loop, its timers and signals, so that nobody but io includes uv.h. Objects
 * are on the heap: after `_free` the callback never runs again and the caller may free its own
 * memory at once, but the handle itself goes when the loop turns, so run the loop once more before
 * loop_free. Loop thread. */
#ifndef KEYMETER_IO_LOOP_H
#define KEYMETER_IO_LOOP_H

#include "base/compiler.h"
#include "base/err.h"

#include <stdint.h>

struct uv_loop_s;
struct loop_timer;
struct loop_signal;

MUST_USE enum err loop_new(struct uv_loop_s **out);
void loop_run(struct uv_loop_s *loop); /* until loop_stop or nothing is left to wait for */
void loop_stop(struct uv_loop_s *loop);
/* Runs what is closing to its end and frees the loop. ERR_FULL: handles are still open, which is a
 * bug of whoever made them; the loop is left as it is. */
MUST_USE enum err loop_free(struct uv_loop_s **loop);
/* The loop's own monotonic milliseconds, read once a turn: cheap. */
uint64_t loop_now_ms(const struct uv_loop_s *loop);

/* A timer, not running at first. repeat_ms 0: once. Starting a running timer sets it anew. */
MUST_USE enum err loop_timer_new(struct loop_timer **out, struct uv_loop_s *loop,
                                 void (*callback)(void *context), void *context);
void loop_timer_start(struct loop_timer *timer, uint64_t after_ms, uint64_t repeat_ms);
void loop_timer_stop(struct loop_timer *timer);
/* An unreferenced timer does not keep loop_run from ending. */
void loop_timer_unref(struct loop_timer *timer);
void loop_timer_free(struct loop_timer **timer);

/* Calls back on the loop when the process gets the signal. */
MUST_USE enum err loop_signal_new(struct loop_signal **out, struct uv_loop_s *loop, int number,
                                  void (*callback)(void *context), void *context);
void loop_signal_free(struct loop_signal **signal);

#endif
