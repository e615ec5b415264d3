/* io/loop: each wrapper calls back as it says and lets the loop end. */
#include "io/loop.h"

#include "unit.h"

#include <signal.h>

struct seen {
    struct uv_loop_s *loop;
    struct loop_timer *timer;
    struct loop_signal *signal;
    int calls;
};

static void third_time_stops(void *context)
{
    struct seen *seen = context;
    if (++seen->calls == 3) loop_timer_stop(seen->timer);
}

static void a_timer_repeats_until_stopped(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(loop_new(&seen.loop), ERR_OK);
    assert_int_equal(loop_timer_new(&seen.timer, seen.loop, third_time_stops, &seen), ERR_OK);
    loop_timer_start(seen.timer, 0, 1);
    loop_run(seen.loop);
    assert_int_equal(seen.calls, 3);
    loop_timer_free(&seen.timer);
    assert_null(seen.timer);
    loop_timer_free(&seen.timer);
    assert_int_equal(loop_free(&seen.loop), ERR_OK);
    assert_null(seen.loop);
}

static void never(void *context)
{
    (void)context;
    fail();
}

static void a_freed_timer_never_fires(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(loop_new(&seen.loop), ERR_OK);
    assert_int_equal(loop_timer_new(&seen.timer, seen.loop, never, NULL), ERR_OK);
    loop_timer_start(seen.timer, 0, 0);
    loop_timer_free(&seen.timer);
    loop_run(seen.loop);
    /* a handle that its maker forgot is told */
    assert_int_equal(loop_timer_new(&seen.timer, seen.loop, never, NULL), ERR_OK);
    assert_int_equal(loop_free(&seen.loop), ERR_FULL);
    loop_timer_free(&seen.timer);
    assert_int_equal(loop_free(&seen.loop), ERR_OK);
}

static void signalled(void *context)
{
    struct seen *seen = context;
    seen->calls++;
    loop_signal_free(&seen->signal);
}

static void a_signal_arrives_on_the_loop(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(loop_new(&seen.loop), ERR_OK);
    assert_int_equal(loop_signal_new(&seen.signal, seen.loop, SIGUSR1, signalled, &seen), ERR_OK);
    raise(SIGUSR1);
    loop_run(seen.loop);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(loop_free(&seen.loop), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_repeats_until_stopped),
        cmocka_unit_test(a_freed_timer_never_fires),
        cmocka_unit_test(a_signal_arrives_on_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
